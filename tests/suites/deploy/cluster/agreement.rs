//! That the API server and the agent say the same of an object: what the one accepts the other does not refuse.

use serde_json::{Value, json};

use super::{CRDS, object, place, read, with_crds};

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
        // A server compares whole numbers with the whole part of `minimum`.
        (policy(json!({"rateLimit": {"requestsPerSecond": 0}})), "CEL: requestsPerSecond"),
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
