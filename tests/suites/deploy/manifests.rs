//! What is for those without Helm: one manifest, which is what the chart makes of its defaults, and kustomize's overlays of it.

use std::{collections::BTreeMap, fs};

use serde_json::{Value, json};

use crate::{chart, crds, made, programs, repository};

const BASE: &str = "deploy/kustomize/base";
const OVERLAYS: &str = "deploy/kustomize/overlays";
const NAMESPACE: &str = "\
apiVersion: v1
kind: Namespace
metadata:
  name: umbra-system
  labels:
    # The agent is on the host's network and sees its processes.
    pod-security.kubernetes.io/enforce: privileged
    pod-security.kubernetes.io/audit: privileged
    pod-security.kubernetes.io/warn: privileged
";
/// What others need comes first.
const ORDER: [&str; 4] = ["serviceaccount.yaml", "configmap.yaml", "rbac.yaml", "daemonset.yaml"];

/// The objects of a YAML text.
pub(crate) fn documents(text: &str) -> Vec<Value> {
    let parts = text.split("\n---\n").map(|part| part.trim_start_matches("---\n"));
    let objects = parts.filter(|part| part.lines().any(|line| !line.is_empty() && !line.starts_with('#')));
    objects
        .map(|part| serde_saphyr::from_str(part).unwrap_or_else(|error| panic!("{error}: {part}")))
        .collect()
}

/// Where the chart made it from.
fn rendered(values: &Value, file: &str) -> String {
    let files = chart::render(values).unwrap();
    files.into_iter().find(|(path, _)| path == file).unwrap().1
}

#[test]
fn the_manifest_is_what_the_chart_makes_of_its_defaults() {
    let files = chart::render(&json!({})).unwrap();
    let paths: Vec<_> =
        files.iter().map(|(path, _)| path.as_str()).filter(|path| !path.starts_with("tests/")).collect();
    assert_eq!(paths.len(), ORDER.len(), "{paths:?}: where does each stand?");
    let crds = crds::all().map(|(file, _)| fs::read_to_string(repository(crds::FOLDER).join(file)).unwrap());
    let objects = ORDER.map(|file| rendered(&json!({}), file));
    let mut text = "# Made from deploy/helm/umbra by tests/suites/deploy/manifests.rs: kubectl apply --server-side -f umbra.yaml\n"
        .to_owned();
    text += NAMESPACE;
    for part in crds.iter().chain(&objects) {
        text += &format!("---\n{}\n", part.trim_end());
    }
    assert!(programs::valid(&text) > 8);
    made::is_current_text(&format!("{BASE}/umbra.yaml"), &text);
}

#[test]
fn kustomize_builds_every_folder() {
    let overlays = fs::read_dir(repository(OVERLAYS)).unwrap();
    let overlays =
        overlays.map(|entry| format!("{OVERLAYS}/{}", entry.unwrap().file_name().to_str().unwrap()));
    let folders: Vec<_> = overlays.chain([BASE.to_owned()]).collect();
    assert!(folders.len() > 2, "{folders:?}");
    for folder in folders {
        assert!(programs::valid(&programs::kustomize(&folder)) >= 10, "{folder}");
    }
}

#[test]
fn the_overlay_for_prometheus_is_what_the_chart_makes_of_the_same_wishes() {
    let values = json!({
        "agentConfig": {"spec": {"admin": {"address": "0.0.0.0:9977"}}},
        "admin": {"tokenSecret": "umbra-token"},
        "podMonitor": {"enabled": true},
    });
    let monitor = "# Made from deploy/helm/umbra by tests/suites/deploy/manifests.rs.\n".to_owned();
    let monitor = monitor + &rendered(&values, "podmonitor.yaml") + "\n";
    made::is_current_text(&format!("{OVERLAYS}/prometheus/podmonitor.yaml"), &monitor);

    let overlaid = by_name(&programs::kustomize(&format!("{OVERLAYS}/prometheus")));
    for (name, of_chart) in by_name(&chart::text(&values)) {
        if name != "Pod umbra-test" {
            assert_eq!(overlaid.get(&name), Some(&of_chart), "{name}");
        }
    }
}

/// Objects by kind and name, but for what tells Helm's agents that their configuration has changed.
fn by_name(yaml: &str) -> BTreeMap<String, Value> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let named = documents(yaml).into_iter().map(|mut object| {
        if object["kind"] == "ConfigMap" {
            object["data"]["agent.yaml"] =
                serde_saphyr::from_str(&text(&object["data"]["agent.yaml"])).unwrap();
        }
        if object["kind"] == "DaemonSet" {
            let template = &mut object["spec"]["template"];
            template["metadata"]["annotations"] = Value::Null;
            let pod = &mut template["spec"];
            for list in [pod["volumes"].take(), pod["containers"][0]["volumeMounts"].take()] {
                let mut list = list.as_array().unwrap().clone();
                list.sort_by_key(|entry| text(&entry["name"]));
                pod["lists"] = json!([pod["lists"], list]);
            }
        }
        (format!("{} {}", text(&object["kind"]), text(&object["metadata"]["name"])), object)
    });
    named.collect()
}
