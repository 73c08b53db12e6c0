//! The image.

use std::{fs, path::PathBuf, process::Command};

use serde_json::Value;
use support::{Node, upstream};
use umbra::process::privileges::NEEDED;

use crate::{bits, capabilities, container::Container, output, packaged, passage, rules};

/// Asks skopeo, which reads images as podman does.
fn read_as(transport: &str, arguments: &[&str]) -> Value {
    let image = format!("{transport}:{}", packaged(".image.tar").display());
    let said = output(Command::new("skopeo").arg("inspect").args(arguments).arg(&image));
    serde_json::from_str(&said).unwrap()
}

#[test]
fn every_reader_finds_the_same_image() {
    let [docker, oci] = ["docker-archive", "oci-archive"].map(|transport| read_as(transport, &["--config"]));
    assert_eq!(docker, oci);
    assert_eq!(docker["os"], "linux");
    let config = &docker["config"];
    assert_eq!(config["Entrypoint"], serde_json::json!(["/usr/bin/umbra"]));
    assert_eq!(config["Labels"]["org.opencontainers.image.version"], env!("CARGO_PKG_VERSION"));
    let layers = ["docker-archive", "oci-archive"].map(|transport| read_as(transport, &[])["Layers"].clone());
    assert_eq!(layers[0].as_array().unwrap().len(), 1);
}

#[test]
fn one_image_for_all_architectures_has_the_same_manifest() {
    let all = format!("oci-archive:{}", packaged(".oci.tar").display());
    let index = output(Command::new("skopeo").args(["inspect", "--raw", &all]));
    let index: Value = serde_json::from_str(&index).unwrap();
    // The suite's packages are for this machine alone.
    let [image] = index["manifests"].as_array().unwrap().as_slice() else { panic!("{index:#}") };
    let config = output(Command::new("skopeo").args(["inspect", "--config", &all]));
    let config: Value = serde_json::from_str(&config).unwrap();
    assert_eq!(image["platform"]["architecture"], config["architecture"]);
    let alone = format!("oci-archive:{}", packaged(".image.tar").display());
    let alone = output(Command::new("skopeo").args(["inspect", "--raw", &alone]));
    let digest = output(Command::new("sh").args(["-c", "printf %s \"$1\" | sha256sum", "sh", &alone]));
    assert_eq!(image["digest"], format!("sha256:{}", digest.split(' ').next().unwrap()));
    // As it is brought to a registry, with every architecture.
    let dir = tempfile::tempdir().unwrap();
    let to = format!("oci:{}:copy", dir.path().display());
    output(Command::new("skopeo").args(["copy", "--quiet", "--all", &all, &to]));
}

/// The files of its one layer.
fn unpacked() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let image = packaged(".image.tar");
    let list = output(Command::new("tar").arg("-xOf").arg(&image).arg("manifest.json"));
    let list: Value = serde_json::from_str(&list).unwrap();
    let layer = list[0]["Layers"][0].as_str().unwrap();
    let script = format!("tar -xOf {} {layer} | tar -xzp -C {}", image.display(), dir.path().display());
    output(Command::new("sh").args(["-ec", &script]));
    dir
}

#[test]
fn it_holds_one_program_and_whom_to_trust() {
    let root = unpacked();
    let files = output(Command::new("find").args([".", "-type", "f"]).current_dir(root.path()));
    let mut files: Vec<_> = files.lines().collect();
    files.sort_unstable();
    let expected = [
        "./etc/group",
        "./etc/passwd",
        "./etc/ssl/certs/ca-certificates.crt",
        "./usr/bin/umbra",
        "./usr/share/doc/umbra/copyright",
        "./usr/share/doc/umbra/third-party.txt.gz",
    ];
    assert_eq!(files, expected);
    let trusted = root.path().join("etc/ssl/certs/ca-certificates.crt");
    let read = format!("openssl storeutl -noout -certs {}", trusted.display());
    let read = output(Command::new("sh").args(["-c", &read]));
    let count: u32 = read.trim().rsplit_once("Total found: ").unwrap().1.parse().unwrap();
    assert!(count > 100, "{count} authorities can be read");
}

/// A variable and its value.
fn pair(text: &str) -> (String, String) {
    let (name, value) = text.split_once('=').unwrap();
    (name.to_owned(), value.to_owned())
}

/// As on a node of a cluster: the agent in the node's namespace, the app in its own.
#[test]
fn its_process_mirrors_with_the_listed_capabilities_alone() {
    let node = Node::new();
    let (app, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
    let primary = upstream(&app).replies("ok").start();
    let copies = upstream(&shadow).replies("ok").start();
    let before = passage(app.netns());
    let (root, settings, run) = (unpacked(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    // Container engines make these where they mount.
    for folder in ["proc", "dev", "run/netns"] {
        fs::create_dir(root.path().join(folder)).unwrap();
    }
    let agent = format!(
        "apiVersion: umbra.dev/v1alpha1\nkind: AgentConfig\nmetadata: {{name: node}}\nspec:\n  capture: {{inbound: [{{netns: {}}}]}}\n---\n",
        app.netns().path()
    );
    fs::write(settings.path().join("all.yaml"), agent + &rules(primary.address(), copies.address())).unwrap();
    let config = &read_as("docker-archive", &["--config"])["config"];
    let words = |list: &Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
    };
    let mut running = Container {
        root: root.path(),
        netns: node.netns(),
        program: [words(&config["Entrypoint"]), words(&config["Cmd"])].concat(),
        environment: words(&config["Env"]).iter().map(|word| pair(word)).collect(),
        capabilities: NEEDED.map(|(_, name, _)| name.to_owned()).to_vec(),
        mounts: vec![
            (settings.path().to_owned(), "/etc/umbra".to_owned(), "--ro-bind"),
            (run.path().to_owned(), "/run/umbra".to_owned(), "--bind"),
            (PathBuf::from("/run/netns"), "/run/netns".to_owned(), "--ro-bind"),
        ],
    }
    .start();
    running.says("umbra is ready");

    assert_eq!(client.get(primary.address(), "/cart").text(), "ok");
    copies.eventually_received(1);

    let allowed = bits(&NEEDED.map(|(_, name, _)| name.to_owned()));
    assert_eq!(capabilities(running.pid()), [allowed; 3]);
    let asked = fs::canonicalize(run.path().join("admin.sock"));
    assert!(asked.is_ok(), "the admin socket is where the machine finds it");
    let (status, log) = running.stop();
    assert!(status.success(), "{log}");
    assert_eq!(passage(app.netns()), before, "the namespace is as it was");
}
