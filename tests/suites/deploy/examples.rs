//! The examples of whole applications: what `umbra check` and `umbra match` say once the Deployments have their pods.

use std::{fs, process::Command};

use serde_json::{Value, json};
use support::binary;

use crate::{manifests::documents, programs, repository};

const FOLDER: &str = "deploy/examples";

/// Of each file: a request, with its headers, and the lines about its copies.
const TOLD: &[(&str, &[&str], &str)] = &[
    (
        "two-versions",
        &["GET", "http://web.two-versions/"],
        "100 % to web-v2.two-versions.svc.cluster.local:80 at 10.0.0.2:8080",
    ),
    (
        "header-match",
        &["GET", "http://web.header-match/", "-H", "x-tester: yes"],
        "100 % to web-next.header-match.svc.cluster.local:80 at 10.0.0.2:8080",
    ),
    ("header-match", &["GET", "http://web.header-match/"], "mirrors none"),
    (
        "reads-only",
        &["GET", "http://web.reads-only/", "-H", "cookie: a=b"],
        "100 % to web-next.reads-only.svc.cluster.local:80 at 10.0.0.2:8080",
    ),
    ("reads-only", &["POST", "http://web.reads-only/"], "mirrors none"),
    (
        "percentages",
        &["POST", "http://web.percentages/checkout"],
        "100 % to web-next.percentages.svc.cluster.local:80",
    ),
    (
        "percentages",
        &["GET", "http://web.percentages/search?q=1"],
        "0.5 % to web-next.percentages.svc.cluster.local:80",
    ),
    ("percentages", &["GET", "http://web.percentages/"], "10 % to web-next.percentages.svc.cluster.local:80"),
    (
        "external-tls",
        &["GET", "http://web.external-tls/"],
        "5 % to staging.example.com:443 at staging.example.com:443",
    ),
    (
        "http-route",
        &["GET", "http://web.http-route/"],
        "20 % to web-next.http-route.svc.cluster.local:80 at 10.0.0.2:8080",
    ),
];

fn names() -> Vec<String> {
    let files = fs::read_dir(repository(FOLDER)).unwrap().map(|entry| entry.unwrap().path());
    files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

/// A pod of each Deployment, as a cluster would have it.
fn pods(objects: &[Value]) -> String {
    let deployments = objects.iter().filter(|object| object["kind"] == "Deployment");
    let pods = deployments.enumerate().map(|(number, deployment)| {
        let template = &deployment["spec"]["template"];
        let mut metadata = template["metadata"].clone();
        metadata["namespace"] = deployment["metadata"]["namespace"].clone();
        metadata["name"] = json!(format!("pod-{number}"));
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"],
            "status": {"phase": "Running", "podIPs": [{"ip": format!("10.0.0.{}", number + 1)}],
                "conditions": [{"type": "Ready", "status": "True"}]},
        })
    });
    json!({"apiVersion": "v1", "kind": "List", "items": pods.collect::<Vec<_>>()}).to_string()
}

/// What `umbra` says of an example, its pods there.
fn umbra(name: &str, command: &str, before: &str, arguments: &[&str]) -> String {
    let example = repository(&format!("{FOLDER}/{name}.yaml"));
    let folder = tempfile::tempdir().unwrap();
    let running = folder.path().join("pods.yaml");
    fs::write(&running, pods(&documents(&fs::read_to_string(&example).unwrap()))).unwrap();
    let mut umbra = Command::new(binary());
    umbra.arg(command);
    for file in [&example, &running] {
        umbra.args((!before.is_empty()).then_some(before)).arg(file);
    }
    let output = umbra.args(arguments).output().unwrap();
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

#[test]
fn every_example_is_valid_and_captures_what_has_the_label() {
    for name in names() {
        let text = fs::read_to_string(repository(&format!("{FOLDER}/{name}.yaml"))).unwrap();
        assert!(programs::valid(&text) >= 4, "{name}");
        let labels = text.matches("umbra.dev/capture: enabled").count();
        assert_eq!(labels, 1, "{name}: one label is all it takes");

        let said = umbra(&name, "check", "", &[]);
        let warnings = said.lines().filter(|line| line.starts_with("warning["));
        // Deployments are left unread, for their pods say more.
        let others: Vec<_> =
            warnings.filter(|line| !line.contains("UMB0210") || !line.contains("Deployment")).collect();
        assert!(others.is_empty(), "{name}: {others:#?}");
        assert!(said.contains("; 1 endpoint would be captured"), "{name}: {said}");
    }
}

#[test]
fn every_example_copies_what_it_says() {
    for (name, request, expected) in TOLD {
        let said = umbra(name, "match", "--config", request);
        let words = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(expected), "{name} {request:?}: {said}");
    }
    let missing: Vec<_> =
        names().into_iter().filter(|name| TOLD.iter().all(|(told, ..)| told != name)).collect();
    assert!(missing.is_empty(), "{missing:?} say nothing");
    let cookie = &["GET", "http://web.reads-only/", "-H", "cookie: a=b"];
    let said = umbra("reads-only", "match", "--config", cookie);
    assert!(!said.split("mirror ").last().unwrap().contains("cookie"), "credentials stay here: {said}");
}
