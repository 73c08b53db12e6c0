//! The image, from scratch: the static binary, authorities to trust, and nothing else; in an archive for each architecture,
//! and in one for all.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use webpki_root_certs::TLS_SERVER_ROOT_CERTS;

use super::{Edition, binary::Binary, gzip, inventory::Inventory, sha256, tree::Tree};

const SOURCE: &str = "Mirrors live HTTP traffic to shadow services with eBPF, following Istio's rules";

/// The image of one architecture.
pub(super) struct Image {
    blobs: Vec<Blob>,
    layer: String,
    config: String,
    /// As an index has it.
    manifest: Value,
}

struct Blob {
    path: String,
    content: Vec<u8>,
}

impl Image {
    pub(super) fn of(binary: &Binary, inventory: &Inventory, edition: &Edition) -> Result<Self> {
        let (arch, created) = (binary.arch.as_str(), edition.date("+%Y-%m-%dT%H:%M:%SZ")?);
        let labels = json!({
            "org.opencontainers.image.title": "umbra",
            "org.opencontainers.image.description": SOURCE,
            "org.opencontainers.image.version": edition.version,
            "org.opencontainers.image.created": created,
            "org.opencontainers.image.licenses": "(MIT OR Apache-2.0) AND (MIT OR GPL-2.0)",
        });
        let files = files(binary, inventory)?.tar(edition.seconds())?;
        let (layer, packed) = Blob::new("layer.v1.tar+gzip", gzip(&files)?);
        let config = json!({
            "created": created,
            "architecture": arch,
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
        let (config, settings) = Blob::new("config.v1+json", serde_json::to_vec(&config)?);
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config,
            "layers": [layer],
            "annotations": labels,
        });
        let (mut manifest, list) = Blob::new("manifest.v1+json", serde_json::to_vec(&manifest)?);
        manifest["platform"] = json!({"architecture": arch, "os": "linux"});
        let (layer, config) = (packed.path.clone(), settings.path.clone());
        Ok(Self { blobs: vec![packed, settings, list], layer, config, manifest })
    }

    /// For one architecture, as every reader takes it: an OCI layout with the `manifest.json` of `docker save` beside it.
    pub(super) fn write(&self, to: &Path, edition: &Edition) -> Result<()> {
        let docker = json!([{
            "Config": self.config,
            "RepoTags": [format!("umbra:{}", edition.version)],
            "Layers": [self.layer],
        }]);
        let docker = ("manifest.json".to_owned(), serde_json::to_vec(&docker)?);
        layout(to, &self.manifest, self.blobs.iter(), Some(docker), edition)
    }
}

/// One image for all architectures, of which whoever pulls it takes its own: an OCI layout with an index.
pub(super) fn write_all(to: &Path, images: &[Image], edition: &Edition) -> Result<()> {
    let manifests: Vec<_> = images.iter().map(|image| &image.manifest).collect();
    let (descriptor, list) = Blob::new("index.v1+json", index(&json!(manifests))?);
    let blobs = images.iter().flat_map(|image| &image.blobs).chain([&list]);
    layout(to, &descriptor, blobs, None, edition)
}

impl Blob {
    /// With its descriptor.
    fn new(kind: &str, content: Vec<u8>) -> (Value, Self) {
        let digest = sha256(&content);
        let descriptor = json!({
            "mediaType": format!("application/vnd.oci.image.{kind}"),
            "digest": format!("sha256:{digest}"),
            "size": content.len(),
        });
        (descriptor, Self { path: format!("blobs/sha256/{digest}"), content })
    }
}

/// The layout of one image, which is called by its version.
fn layout<'a>(
    to: &Path,
    image: &Value,
    blobs: impl Iterator<Item = &'a Blob>,
    beside: Option<(String, Vec<u8>)>,
    edition: &Edition,
) -> Result<()> {
    let mut image = image.clone();
    // The name that `ctr images import` gives it, and the one of everybody else.
    image["annotations"] = json!({
        "io.containerd.image.name": format!("docker.io/library/umbra:{}", edition.version),
        "org.opencontainers.image.ref.name": edition.version,
    });
    let mut archive = Tree::default();
    blobs.for_each(|blob| archive.file(&blob.path, 0o644, blob.content.clone()));
    archive.file("oci-layout", 0o644, r#"{"imageLayoutVersion":"1.0.0"}"#);
    archive.file("index.json", 0o644, index(&json!([image]))?);
    if let Some((path, content)) = beside {
        archive.file(&path, 0o644, content);
    }
    fs::write(to, archive.tar(edition.seconds())?).with_context(|| format!("write {}", to.display()))
}

fn index(manifests: &Value) -> Result<Vec<u8>> {
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": manifests,
    });
    Ok(serde_json::to_vec(&index)?)
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
