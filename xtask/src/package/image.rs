//! The image, from scratch: the static binary, authorities to trust, and nothing else. One archive that every reader
//! takes: an OCI layout with the `manifest.json` of `docker save` beside it.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use webpki_root_certs::TLS_SERVER_ROOT_CERTS;

use super::{Edition, binary::Binary, gzip, inventory::Inventory, sha256, tree::Tree};

const SOURCE: &str = "Mirrors live HTTP traffic to shadow services with eBPF, following Istio's rules";

pub(super) fn write(to: &Path, binary: &Binary, inventory: &Inventory, edition: &Edition) -> Result<()> {
    let (version, created) = (edition.version, edition.date("+%Y-%m-%dT%H:%M:%SZ")?);
    let labels = json!({
        "org.opencontainers.image.title": "umbra",
        "org.opencontainers.image.description": SOURCE,
        "org.opencontainers.image.version": version,
        "org.opencontainers.image.created": created,
        "org.opencontainers.image.licenses": "(MIT OR Apache-2.0) AND (MIT OR GPL-2.0)",
    });
    let mut archive = Tree::default();
    let mut blob = |kind: &str, content: Vec<u8>| -> Value {
        let digest = sha256(&content);
        let descriptor = json!({
            "mediaType": format!("application/vnd.oci.image.{kind}"),
            "digest": format!("sha256:{digest}"),
            "size": content.len(),
        });
        archive.file(&format!("blobs/sha256/{digest}"), 0o644, content);
        descriptor
    };

    let files = files(binary, inventory)?.tar(edition.seconds())?;
    let layer = blob("layer.v1.tar+gzip", gzip(&files)?);
    let config = json!({
        "created": created,
        "architecture": binary.arch.as_str(),
        "os": "linux",
        "config": {
            "User": "0:0",
            "Env": ["PATH=/usr/bin"],
            "Entrypoint": ["/usr/bin/umbra"],
            "Cmd": ["run", "--config", "/etc/umbra"],
            "Labels": labels,
            // What `docker stop` sends anyway; said for those that read it.
            "StopSignal": "SIGTERM",
        },
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", sha256(&files))]},
        "history": [{"created": created, "created_by": "cargo xtask package", "comment": "static binary and authorities"}],
    });
    let config = blob("config.v1+json", serde_json::to_vec(&config)?);
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config,
        "layers": [layer],
        "annotations": labels,
    });
    let mut manifest = blob("manifest.v1+json", serde_json::to_vec(&manifest)?);
    manifest["platform"] = json!({"architecture": binary.arch.as_str(), "os": "linux"});
    // The name that `ctr images import` gives it, and the one of everybody else.
    manifest["annotations"] = json!({
        "io.containerd.image.name": format!("docker.io/library/umbra:{version}"),
        "org.opencontainers.image.ref.name": version,
    });
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [manifest],
    });
    let docker = json!([{
        "Config": path(&config),
        "RepoTags": [format!("umbra:{version}")],
        "Layers": [path(&layer)],
    }]);
    archive.file("oci-layout", 0o644, r#"{"imageLayoutVersion":"1.0.0"}"#);
    archive.file("index.json", 0o644, serde_json::to_vec(&index)?);
    archive.file("manifest.json", 0o644, serde_json::to_vec(&docker)?);
    fs::write(to, archive.tar(edition.seconds())?).with_context(|| format!("write {}", to.display()))
}

/// Where a blob lies.
fn path(descriptor: &Value) -> String {
    format!("blobs/{}", descriptor["digest"].as_str().unwrap_or_default().replace(':', "/"))
}

fn files(binary: &Binary, inventory: &Inventory) -> Result<Tree> {
    let mut tree = Tree::default();
    tree.file("usr/bin/umbra", 0o755, binary.content()?);
    // Whom TLS to shadows trusts. Mozilla's list from a crate, so that it is pinned by Cargo.lock and has none of the
    // authorities of the machine that builds; mount another over it, or set SSL_CERT_FILE.
    tree.file("etc/ssl/certs/ca-certificates.crt", 0o644, authorities());
    tree.file(
        "etc/passwd",
        0o644,
        "root:x:0:0:root:/:/sbin/nologin\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n",
    );
    tree.file("etc/group", 0o644, "root:x:0:\nnogroup:x:65534:\n");
    tree.folder("etc/umbra", 0o755);
    tree.folder("run/umbra", 0o700);
    tree.folder("tmp", 0o1777);
    inventory.install(&mut tree)?;
    Ok(tree)
}

/// PEM, as every reader takes it.
fn authorities() -> String {
    let pem = |der: &[u8]| {
        let text = STANDARD.encode(der);
        let lines = text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line) + "\n");
        format!("-----BEGIN CERTIFICATE-----\n{}-----END CERTIFICATE-----\n", lines.collect::<String>())
    };
    TLS_SERVER_ROOT_CERTS.iter().map(|der| pem(der)).collect()
}
