//! A real API server, where `KUBEBUILDER_ASSETS` names a folder with `kube-apiserver` and `etcd`: what it makes of the CRDs, and
//! of the chart.

mod agreement;
mod server;

use std::fs;

use serde_json::{Value, json};

use crate::{chart::CHART, crds, manifests::documents, programs, repository};
use server::Server;

const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// With the CRDs established; none where there is no API server.
fn with_crds() -> Option<Server> {
    let server = Server::start()?;
    for (_, crd) in crds::all() {
        server.create(CRDS, &crd).unwrap_or_else(|refused| panic!("{refused}"));
        let path = format!("{CRDS}/{}", crd["metadata"]["name"].as_str().unwrap());
        support::eventually("the CRD is established", || {
            let conditions =
                server.get(&path)["status"]["conditions"].as_array().cloned().unwrap_or_default();
            let wrong = conditions.iter().find(|condition| condition["type"] == "NonStructuralSchema");
            assert!(wrong.is_none(), "{wrong:?}");
            let is = |name: &str| {
                conditions.iter().any(|condition| condition["type"] == name && condition["status"] == "True")
            };
            (is("Established") && is("NamesAccepted")).then_some(())
        });
    }
    Some(server)
}

fn place(object: &Value) -> String {
    let plural = object["kind"].as_str().unwrap().to_lowercase().replace("policy", "policies");
    let plural = if plural.ends_with('s') { plural } else { plural + "s" };
    format!("/apis/umbra.dev/v1alpha1/namespaces/default/{plural}")
}

/// What the reader finds wrong.
fn read(object: &Value) -> Vec<String> {
    let (mut resources, mut report) = Default::default();
    umbra::config::read("object", &object.to_string(), &mut resources, &mut report);
    let errors =
        report.diagnostics.iter().filter(|found| found.code.severity() == umbra::config::Severity::Error);
    errors.map(|found| found.message.clone()).collect()
}

fn object(kind: &str, name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "umbra.dev/v1alpha1", "kind": kind, "metadata": {"name": name, "namespace": "default"}, "spec": spec})
}

#[test]
fn every_object_that_is_shipped_is_accepted_and_kept_as_it_is_written() {
    let Some(server) = with_crds() else { return };
    let examples = fs::read_dir(repository("config/examples")).unwrap().map(|entry| entry.unwrap().path());
    let apps = fs::read_dir(repository("deploy/examples")).unwrap().map(|entry| entry.unwrap().path());
    let files = examples.chain(apps).chain([repository("config/agent.yaml")]);
    let all = files.flat_map(|file| documents(&fs::read_to_string(file).unwrap()));
    let own: Vec<_> = all.filter(|object| object["apiVersion"] == "umbra.dev/v1alpha1").collect();
    assert!(own.len() >= 10, "{}", own.len());
    for (number, mut object) in own.into_iter().enumerate() {
        object["metadata"] = json!({"name": format!("shipped-{number}"), "namespace": "default"});
        let kept =
            server.create(&place(&object), &object).unwrap_or_else(|refused| panic!("{object:#}: {refused}"));
        assert!(within(&object["spec"], &kept["spec"]), "{:#} became {:#}", object["spec"], kept["spec"]);
        assert!(read(&kept).is_empty(), "{kept:#}: {:?}", read(&kept));
    }
}

/// Whether nothing of `written` is missing from `kept`, where defaults may have been added.
fn within(written: &Value, kept: &Value) -> bool {
    match (written, kept) {
        (Value::Object(written), Value::Object(kept)) => {
            written.iter().all(|(name, value)| kept.get(name).is_some_and(|kept| within(value, kept)))
        }
        (Value::Array(written), Value::Array(kept)) => {
            written.len() == kept.len()
                && written.iter().zip(kept).all(|(written, kept)| within(written, kept))
        }
        (Value::Number(written), Value::Number(kept)) => written.as_f64() == kept.as_f64(),
        _ => written == kept,
    }
}

#[test]
fn what_became_of_a_policy_is_shown_and_kept_apart_from_what_was_wished() {
    let Some(server) = with_crds() else { return };
    let policy = object("ShadowPolicy", "a", &json!({"targetRefs": [{"kind": "HTTPRoute", "name": "web"}]}));
    let mut policy = server.create(&place(&policy), &policy).unwrap();
    policy["status"] = json!({
        "observedGeneration": 1, "mirrors": 2,
        "reasons": [{"reason": "no_endpoint", "mirrors": 1, "message": "nobody is ready"}],
        "conditions": [{"type": "Accepted", "status": "True", "reason": "InForce", "message": "",
            "observedGeneration": 1, "lastTransitionTime": "2026-01-02T03:04:05Z"}],
    });
    policy["spec"]["hostSuffix"] = json!("-shadow");
    let path = format!("{}/a", place(&policy));
    server.replace(&format!("{path}/status"), &policy).unwrap();
    let kept = server.get(&path);
    assert_eq!((&kept["status"], kept["spec"].get("hostSuffix")), (&policy["status"], None));

    let table = server.table(&place(&policy));
    let names: Vec<_> =
        table["columnDefinitions"].as_array().unwrap().iter().map(|column| &column["name"]).collect();
    assert_eq!(names, ["Name", "Kind", "Target", "Rule", "Mirrors", "Accepted", "Resolved", "Reason", "Age"]);
    let cells = table["rows"][0]["cells"].as_array().unwrap();
    assert_eq!(json!(cells[..8]), json!(["a", "HTTPRoute", "web", null, 2, "True", null, "InForce"]));
}

#[test]
fn helm_installs_it_and_leaves_nothing_but_the_crds() {
    let Some(server) = Server::start() else { return };
    // The chart is for 1.30 and later.
    let minor: u32 = server.get("/version")["minor"].as_str().unwrap().trim_end_matches('+').parse().unwrap();
    if minor < 30 {
        return;
    }
    let ask = |ask: &str| json!({"ask": ask, "chart": repository(CHART), "values": {}, "kubeconfig": server.kubeconfig()});
    programs::helm(&ask("install")).unwrap_or_else(|error| panic!("{error}"));
    let kinds = [
        "/apis/apps/v1/namespaces/umbra-system/daemonsets",
        "/apis/rbac.authorization.k8s.io/v1/clusterroles",
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
        "/apis/rbac.authorization.k8s.io/v1/namespaces/umbra-system/roles",
        "/apis/rbac.authorization.k8s.io/v1/namespaces/umbra-system/rolebindings",
        "/api/v1/namespaces/umbra-system/serviceaccounts",
        "/api/v1/namespaces/umbra-system/configmaps",
        "/api/v1/namespaces/umbra-system/secrets",
    ];
    let there = || kinds.map(|path| server.named(path, "umbra"));
    assert!(there().iter().all(|count| *count >= 1), "{:?}", there());
    programs::helm(&ask("uninstall")).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(there(), kinds.map(|_| 0));
    assert_eq!(server.named(CRDS, "umbra"), 2, "they hold what people wrote");
}
