//! A real API server, where `KUBEBUILDER_ASSETS` names a folder with `kube-apiserver` and `etcd`: what it makes of the CRDs, and
//! of the chart.

mod server;

use std::fs;

use serde_json::{Value, json};

use crate::{
    chart::CHART,
    crds,
    manifests::documents,
    programs, repository,
};
use server::Server;

const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// With the CRDs established; none where there is no API server.
fn with_crds() -> Option<Server> {
    let server = Server::start()?;
    for (_, crd) in crds::all() {
        server.create(CRDS, &crd).unwrap_or_else(|refused| panic!("{refused}"));
        let path = format!("{CRDS}/{}", crd["metadata"]["name"].as_str().unwrap());
        support::eventually("the CRD is established", || {
            let conditions = server.get(&path)["status"]["conditions"].as_array().cloned().unwrap_or_default();
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
    let errors = report.diagnostics.iter().filter(|found| found.severity() == umbra::config::Severity::Error);
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
        let kept = server.create(&place(&object), &object).unwrap_or_else(|refused| panic!("{object:#}: {refused}"));
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
            written.len() == kept.len() && written.iter().zip(kept).all(|(written, kept)| within(written, kept))
        }
        (Value::Number(written), Value::Number(kept)) => written.as_f64() == kept.as_f64(),
        _ => written == kept,
    }
}

#[test]
fn what_the_api_server_refuses_the_agent_refuses_too_and_the_other_way_round() {
    let Some(server) = with_crds() else { return };
    let knows_rules = server.get(CRDS)["items"][0].to_string().contains("x-kubernetes-validations");
    let targets = || json!([{"kind": "VirtualService", "name": "web"}]);
    let policy = |part: Value| {
        let mut spec = json!({"targetRefs": targets()});
        part.as_object().unwrap().iter().for_each(|(name, value)| spec[name] = value.clone());
        ("ShadowPolicy", spec)
    };
    let agent = |spec: Value| ("AgentConfig", spec);
    let sampling = |part: Value| policy(json!({"sampling": part}));
    let direct = |listen: &str, upstream: &str| {
        agent(json!({"capture": {"direct": [{"listen": listen, "upstream": upstream}]}}))
    };
    // An empty reason: both accept it. With `CEL: `: by a rule, which servers before 1.25 do not know.
    for (number, ((kind, spec), reason)) in [
        (policy(json!({})), ""),
        (policy(json!({"targetRefs": []})), "at least 1"),
        (policy(json!({"targetRefs": [{"kind": "Service", "name": "a"}]})), "Unsupported value"),
        (policy(json!({"targetRefs": [{"kind": "HTTPRoute", "name": "a", "group": "gateway.networking.k8s.io"}]})), ""),
        (policy(json!({"targetRefs": [{"kind": "Namespace", "name": "a", "group": ""}]})), ""),
        (policy(json!({"targetRefs": [{"kind": "HTTPRoute", "name": "a", "group": "networking.istio.io"}]})), "CEL: group"),
        (policy(json!({"targetRefs": [{"kind": "Namespace", "name": "a", "sectionName": "b"}]})), "CEL: no rules"),
        (policy(json!({"hostSuffix": "-shadow"})), ""),
        (policy(json!({"hostSuffix": "-shadow", "authority": "a"})), "CEL: exclude each other"),
        (policy(json!({"authority": "shadow.example.com:8080"})), ""),
        (policy(json!({"authority": "a@b"})), "authority"),
        (policy(json!({"marker": {"header": "x-copy", "value": "yes"}})), ""),
        (policy(json!({"marker": {"header": "Content-Type"}})), "CEL: cannot mark"),
        (policy(json!({"marker": {"value": "a\nb"}})), "value"),
        (policy(json!({"methods": ["GET", "POST"]})), ""),
        (policy(json!({"methods": ["GET", "GET"]})), "Duplicate"),
        (policy(json!({"methods": ["get"]})), "methods"),
        (policy(json!({"methods": ["CONNECT"]})), "CEL: CONNECT"),
        (policy(json!({"timeout": "1ms", "ttl": "8784h"})), ""),
        (policy(json!({"timeout": 0})), "CEL: within"),
        (policy(json!({"timeout": "25h"})), "CEL: within"),
        (policy(json!({"timeout": 5})), "timeout"),
        (policy(json!({"timeout": "5"})), "timeout"),
        (policy(json!({"ttl": "500ms"})), "CEL: within"),
        (policy(json!({"faults": {"delay": {"fixedDelay": 0}}})), ""),
        (policy(json!({"faults": {"delay": {}}})), "fixedDelay"),
        (policy(json!({"body": {"max": "1Mi"}})), ""),
        (policy(json!({"body": {"max": 4096, "onExceed": "Truncate"}})), ""),
        (policy(json!({"body": {"max": "1MB"}})), "max"),
        (policy(json!({"body": {"onExceed": "Drop"}})), "max"),
        (policy(json!({"rateLimit": {"requestsPerSecond": 0.5}})), ""),
        (policy(json!({"rateLimit": {"requestsPerSecond": 0}})), "requestsPerSecond"),
        (policy(json!({"concurrency": 0})), "concurrency"),
        (sampling(json!({})), ""),
        (sampling(json!({"mode": "Sticky", "sticky": {"sourceAddress": true}})), ""),
        (sampling(json!({"mode": "Sticky"})), "CEL: go together"),
        (sampling(json!({"sticky": {"cookie": "a"}})), "CEL: go together"),
        (sampling(json!({"mode": "Sticky", "sticky": {"cookie": "a", "header": "b"}})), "at most 1"),
        (sampling(json!({"mode": "Sticky", "sticky": {}})), "at least 1"),
        (sampling(json!({"adaptive": {"floor": {"value": 1}, "ceiling": {"value": 50}}})), ""),
        (sampling(json!({"adaptive": {"floor": {"value": 51}, "ceiling": {"value": 50}}})), "CEL: above ceiling"),
        (sampling(json!({"adaptive": {"maxErrors": {"value": 101}}})), "maxErrors"),
        (sampling(json!({"adaptive": {"maxLatency": "2h"}})), "CEL: within"),
        (sampling(json!({"adaptive": {}, "coverage": {"copiesPerSecond": 1}})), "CEL: exclude each other"),
        (policy(json!({"compare": {"body": "JSON", "ignore": ["/id"]}})), ""),
        (policy(json!({"compare": {"ignore": ["/id"]}})), "CEL: compared as JSON"),
        (agent(json!({})), ""),
        (agent(json!({"workers": 1025})), "workers"),
        (agent(json!({"drainTimeout": 0})), ""),
        (agent(json!({"drainTimeout": "24h1s"})), "CEL: within"),
        (agent(json!({"admin": {"address": "[::1]:9977", "tokenFile": "/t"}})), ""),
        (agent(json!({"admin": {"address": "10.0.0.999:80"}})), "CEL: address and a port"),
        (agent(json!({"admin": {"address": "10.0.0.9:65536"}})), "CEL: address and a port"),
        (agent(json!({"admin": {"socket": "run/a"}})), "socket"),
        (agent(json!({"capture": {"exempt": ["10.0.0.0/8", "fd00::7"]}})), ""),
        (agent(json!({"capture": {"exempt": ["10.0.0.0/33"]}})), "CEL: network"),
        (agent(json!({"capture": {"inbound": [{"netns": "host"}, {"netns": "host"}]}})), "Duplicate"),
        (agent(json!({"capture": {"inbound": [{"netns": "pid:0"}]}})), "netns"),
        (direct("0.0.0.0:80", "127.0.0.1:8080"), ""),
        (direct("0.0.0.0:80", "127.0.0.1:80"), "CEL: leads back"),
        (direct("10.0.0.1:80", "127.0.0.1:80"), ""),
        (direct("0.0.0.0:80", "127.0.0.1:0"), "CEL: within"),
        (agent(json!({"audit": {"stdout": true}})), ""),
        (agent(json!({"audit": {"file": "/a", "maxSize": "64Ki"}})), ""),
        (agent(json!({"audit": {"file": "/a", "stdout": true}})), "CEL: not both"),
        (agent(json!({"audit": {}})), "CEL: not both"),
        (agent(json!({"audit": {"stdout": true, "maxSize": "63Ki"}})), "CEL: 64Ki"),
        (agent(json!({"shadow": {"markerHeader": "HOST"}})), "CEL: cannot mark"),
        (agent(json!({"shadow": {"queue": {"bytes": "0.5Gi"}}})), ""),
        (agent(json!({"shadow": {"queue": {"bytes": "0"}}})), "CEL: 0 bytes"),
        (agent(json!({"shadow": {"timeout": "0s"}})), "CEL: within"),
    ]
    .into_iter()
    .enumerate()
    {
        let object = object(kind, &format!("o-{number}"), &spec);
        let errors = read(&object);
        assert_eq!(errors.is_empty(), reason.is_empty(), "the agent, of {spec}: {errors:?}");
        let (by_rule, reason) = reason.strip_prefix("CEL: ").map_or((false, reason), |reason| (true, reason));
        let created = server.create(&place(&object), &object);
        match (reason, created) {
            ("", created) => drop(created.unwrap_or_else(|refused| panic!("{spec}: {refused}"))),
            (_, Ok(_)) => assert!(by_rule && !knows_rules, "{spec} is accepted"),
            (_, Err(refused)) => assert!(refused.contains(reason), "{spec}: {refused}"),
        }
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
    let names: Vec<_> = table["columnDefinitions"].as_array().unwrap().iter().map(|column| &column["name"]).collect();
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
    let ask = |ask: &str| {
        json!({"ask": ask, "chart": repository(CHART), "values": {}, "kubeconfig": server.kubeconfig()})
    };
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
