//! The chart: Helm's own library lints and renders it.

use std::fs;

use serde_json::{Value, json};

use crate::{crds, made, manifests::documents, programs, repository};

pub(crate) const CHART: &str = "deploy/helm/umbra";

/// The text of every file that renders to something, notes and tests aside, or what Helm refuses the values with.
pub(crate) fn render(values: &Value) -> Result<Vec<(String, String)>, String> {
    let rendered = programs::helm(&json!({"ask": "render", "chart": repository(CHART), "values": values}))?;
    let files = rendered.as_object().unwrap().iter().map(|(path, text)| {
        (path.trim_start_matches("umbra/templates/").to_owned(), text.as_str().unwrap().trim().to_owned())
    });
    Ok(files.filter(|(path, text)| path.ends_with(".yaml") && !text.is_empty()).collect())
}

/// Everything at once.
pub(crate) fn text(values: &Value) -> String {
    let files = render(values).unwrap_or_else(|error| panic!("{values}: {error}"));
    files.iter().map(|(_, text)| format!("---\n{text}\n")).collect()
}

/// Every switch in another position than by default.
pub(crate) fn everything() -> Value {
    json!({
        "image": {"repository": "registry.example.com/umbra", "digest": format!("sha256:{}", "a".repeat(64))},
        "imagePullSecrets": [{"name": "registry"}],
        "agentConfig": {"spec": {
            "workers": 2, "admin": {"address": "0.0.0.0:9977"}, "shadow": {"queue": {"bytes": "64Mi"}},
            "capture": {"exempt": ["10.0.0.0/8"], "tls": [{"port": 8443, "certificate": "/tls/tls.crt", "privateKey": "/tls/tls.key"}]},
        }},
        "criSocket": "/run/containerd/containerd.sock",
        "admin": {"tokenSecret": "umbra-token"},
        "log": {"level": "umbra=debug", "format": "text"},
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
            {"nodeSelectorTerms": [{"matchExpressions": [{"key": "pool", "operator": "In", "values": ["apps"]}]}]}}},
        "updateStrategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "10%"}},
        "resourceQuota": {"enabled": true},
        "serviceAccount": {"name": "mirror", "annotations": {"a": "b"}},
        "status": {"enabled": false},
        "seLinuxOptions": {"type": "spc_t"},
        "podAnnotations": {"a": "b"}, "podLabels": {"team": "shop"},
        "extraArgs": ["--log=debug"], "extraEnv": [{"name": "A", "value": "b"}],
        "extraVolumes": [{"name": "tls", "secret": {"secretName": "tls"}}],
        "extraVolumeMounts": [{"name": "tls", "mountPath": "/tls", "readOnly": true}],
        "podMonitor": {"enabled": true, "labels": {"release": "prometheus"}},
        "networkPolicy": {"enabled": true, "from": [{"namespaceSelector": {"matchLabels": {"a": "b"}}}]},
    })
}

#[test]
fn helm_lint_finds_nothing() {
    for values in [json!({}), everything()] {
        let told =
            programs::helm(&json!({"ask": "lint", "chart": repository(CHART), "values": values})).unwrap();
        // Severity 1: that there is no icon.
        let worse = |message: &&Value| message["severity"].as_u64() != Some(1);
        let worse: Vec<_> = told["messages"].as_array().unwrap().iter().filter(worse).collect();
        assert!(worse.is_empty() && told["errors"] == json!([]), "{worse:#?} {}", told["errors"]);
        assert_eq!(told["total_charts_linted"], 1);
    }
}

#[test]
fn the_notes_say_where_the_image_comes_from_until_a_registry_has_it() {
    let notes = |values: Value| {
        let ask = json!({"ask": "render", "chart": repository(CHART), "values": values});
        programs::helm(&ask).unwrap()["umbra/templates/NOTES.txt"].as_str().unwrap().trim().to_owned()
    };
    let by_default = notes(json!({}));
    assert!(
        by_default.starts_with("umbra starts on every node with kubernetes.io/os=linux:\n"),
        "{by_default}"
    );
    assert!(by_default.contains("is in no public registry"), "{by_default}");
    assert!(!notes(everything()).contains("registry"), "{}", notes(everything()));
}

#[test]
fn wrong_values_are_refused() {
    let token = json!({"tokenSecret": "umbra-token"});
    for (values, why) in [
        (json!({"imagee": {}}), "imagee"),
        (json!({"image": {"digest": "latest"}}), "digest"),
        (json!({"log": {"format": "xml"}}), "log"),
        (json!({"criSocket": "unix:///run/crio/crio.sock"}), "criSocket"),
        (json!({"agentConfig": {"source": "File"}}), "source"),
        // As for `umbra check`: the agent would refuse to start.
        (json!({"agentConfig": {"spec": {"shadow": {"timeOut": "5s"}}}}), "timeOut"),
        (json!({"agentConfig": {"spec": {"shadow": {"nice": 20}}}}), "nice"),
        (json!({"agentConfig": {"spec": {"audit": {}}}}), "audit"),
        // What the agents would do is not what was meant.
        (json!({"agentConfig": {"spec": {"admin": {"address": "0.0.0.0:9977"}}}}), "admin.tokenSecret"),
        (json!({"agentConfig": {"spec": {"admin": {"socket": ""}}}}), "probes"),
        (json!({"podMonitor": {"enabled": true}}), "loopback"),
        (json!({"podMonitor": {"enabled": true}, "admin": token}), "loopback"),
        (json!({"agentConfig": {"source": "Cluster"}, "admin": token}), "extraVolumes"),
    ] {
        let refused = render(&values).expect_err(&values.to_string());
        assert!(refused.contains(why), "{values}: {refused}");
    }
}

#[test]
fn whatever_the_values_kubernetes_accepts_what_comes_of_them() {
    let least = json!({
        "agentConfig": {"source": "Cluster"}, "rbac": {"create": false}, "serviceAccount": {"create": false},
        "updateStrategy": {"type": "OnDelete", "rollingUpdate": null}, "nameOverride": "mirror", "fullnameOverride": "mirror",
    });
    for (values, objects) in [(json!({}), 12), (everything(), 11), (least, 2)] {
        assert_eq!(programs::valid(&text(&values)), objects, "{values}");
    }
}

#[test]
fn the_agent_reads_the_configuration_that_the_chart_writes() {
    for values in [json!({}), everything()] {
        let all = documents(&text(&values));
        let config = all.iter().find(|object| object["kind"] == "ConfigMap").unwrap();
        let yaml = config["data"]["agent.yaml"].as_str().unwrap();
        let (mut resources, mut report) = Default::default();
        umbra::config::read("agent.yaml", yaml, &mut resources, &mut report);
        assert!(report.diagnostics.is_empty(), "{yaml}: {:?}", report.diagnostics);
        let agent = resources.agent.unwrap();
        match agent.workers {
            0 => assert!(agent.capture.exempt_node),
            workers => assert_eq!((workers, agent.admin.token_file.is_some()), (2, true)),
        }
    }
}

/// The directory, for a runtime that starts again makes another socket; below /host, beside what is the container's own.
#[test]
fn a_runtimes_socket_is_mounted_where_the_agent_is_told_to_look() {
    let all = documents(&text(&everything()));
    let of_kind = |kind: &str| all.iter().find(|object| object["kind"] == kind).unwrap();
    let yaml = of_kind("ConfigMap")["data"]["agent.yaml"].as_str().unwrap();
    assert!(yaml.contains("criSocket: /host/run/containerd/containerd.sock"), "{yaml}");
    let pod = &of_kind("DaemonSet")["spec"]["template"]["spec"];
    let named =
        |list: &Value| list.as_array().unwrap().iter().find(|it| it["name"] == "cri").unwrap().clone();
    let mount = named(&pod["containers"][0]["volumeMounts"]);
    assert_eq!((&mount["mountPath"], &mount["readOnly"]), (&json!("/host/run/containerd"), &json!(true)));
    assert_eq!(named(&pod["volumes"])["hostPath"]["path"], "/run/containerd");
    assert!(!text(&json!({})).contains("/run/containerd"), "nobody has asked for it");
}

#[test]
fn the_capabilities_are_those_that_the_agent_keeps() {
    let all = documents(&text(&json!({})));
    let set = all.iter().find(|object| object["kind"] == "DaemonSet").unwrap();
    let security = &set["spec"]["template"]["spec"]["containers"][0]["securityContext"];
    let mut kept: Vec<_> = umbra::process::privileges::NEEDED
        .iter()
        .map(|(_, name, _)| name.trim_start_matches("CAP_"))
        .collect();
    let mut given: Vec<_> = security["capabilities"]["add"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap())
        .collect();
    kept.sort_unstable();
    given.sort_unstable();
    assert_eq!(given, kept);
    assert_eq!(security["capabilities"]["drop"], json!(["ALL"]));
    assert_eq!(
        (&security["privileged"], &security["allowPrivilegeEscalation"]),
        (&json!(false), &json!(false))
    );
}

/// Its versions are the workspace's, and a slip in `agentConfig.spec` is a slip in the values.
#[test]
fn the_chart_is_of_this_version_and_knows_the_agents_settings() {
    let chart = fs::read_to_string(repository(CHART).join("Chart.yaml")).unwrap();
    for line in ["version", "appVersion"] {
        let line = format!("\n{line}: {}\n", env!("CARGO_PKG_VERSION"));
        assert!(chart.contains(&line), "Chart.yaml lacks {line}");
    }
    let path = format!("{CHART}/values.schema.json");
    let mut values: Value = serde_json::from_str(&fs::read_to_string(repository(&path)).unwrap()).unwrap();
    let schema = crds::schema();
    let agent = crds::resolved(&schema["$defs"]["AgentConfig"]["properties"]["spec"], &schema["$defs"]);
    values["properties"]["agentConfig"]["properties"]["spec"] = without_rules(&agent);
    made::is_current(&path, &values, &(serde_json::to_string_pretty(&values).unwrap() + "\n"));
}

/// Without what only an API server understands.
fn without_rules(node: &Value) -> Value {
    match node {
        Value::Object(fields) => {
            let plain = fields.iter().filter(|(name, _)| !name.starts_with("x-kubernetes"));
            Value::Object(plain.map(|(name, value)| (name.clone(), without_rules(value))).collect())
        }
        Value::Array(items) => items.iter().map(without_rules).collect(),
        other => other.clone(),
    }
}
