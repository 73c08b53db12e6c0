//! What became of what people wrote stands where they look: in the status of policies and routes, and in events. One agent of
//! all writes it, once, and whatever keeps it from writing keeps nothing from being mirrored.

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use support::{Agent, ApiServer, KubeService, agent, endpoint, eventually};

use crate::world::{NODE, RULES, SERVICE, SHOP, World, mirror_to, subsets};

const GATEWAY: &str = "gateway.networking.k8s.io";
const OURS: &str = "umbra.dev/agent";
const COPIES: KubeService = KubeService { namespace: SHOP, name: "copies", port: 8080 };

/// A cluster with a service, a place for copies, and the agents' own namespace.
fn cluster(world: &World, server: &ApiServer) {
    server.install(&RULES);
    server.install(&[(GATEWAY, "v1", "HTTPRoute")]);
    server.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "umbra"}}));
    world.populate(server);
    server.apply(&COPIES.service());
    server.apply(&COPIES.slice(&[endpoint("cart-2", SHOP, "node-2", world.ip(2))]));
}

/// An agent that captures nothing, and is to write.
fn writer(world: &World, server: &ApiServer, node: &str) -> Agent {
    let builder = agent(&world.node);
    let config = format!(
        "apiVersion: umbra.dev/v1alpha1\nkind: AgentConfig\nmetadata: {{name: node}}\nspec:\n  admin: {{address: '{}', socket: ''}}\n",
        builder.admin()
    );
    builder.yaml(&config).kubernetes(server, node).arguments(&["--write-status"]).start()
}

/// Of the service, with a mirror to another one.
fn route(backend: &str) -> Value {
    let mirror =
        json!({"type": "RequestMirror", "requestMirror": {"backendRef": {"name": backend, "port": 80}}});
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "web", "namespace": SHOP},
        "spec": {
            "parentRefs": [{"group": "", "kind": "Service", "name": SERVICE.name}],
            "rules": [{"filters": [mirror], "backendRefs": [{"name": SERVICE.name, "port": 80}]}],
        },
    })
}

/// For a route.
fn policy(name: &str, target: &str, timeout: &str) -> Value {
    json!({
        "apiVersion": "umbra.dev/v1alpha1", "kind": "ShadowPolicy", "metadata": {"name": name, "namespace": SHOP},
        "spec": {"targetRefs": [{"group": GATEWAY, "kind": "HTTPRoute", "name": target}], "timeout": timeout},
    })
}

/// `Accepted=True/Accepted ResolvedRefs=…` of the newest version; nothing where an older one is spoken of.
fn said(object: &Value, conditions: &Value) -> String {
    let all = conditions.as_array().into_iter().flatten();
    let newest = all.filter(|it| it["observedGeneration"] == object["metadata"]["generation"]);
    let word = |it: &Value, key: &str| it[key].as_str().unwrap_or_default().to_owned();
    let words =
        newest.map(|it| format!("{}={}/{}", word(it, "type"), word(it, "status"), word(it, "reason")));
    words.collect::<Vec<_>>().join(" ")
}

fn eventually_said(server: &ApiServer, what: &Value, expected: &str) {
    let mut last = String::new();
    let found = until(Duration::from_secs(20), || {
        let Some(object) = server.get(what) else { return false };
        let status = &object["status"];
        let entries = status["parents"].as_array().into_iter().flatten();
        let own = entries.clone().find(|entry| entry["controllerName"] == OURS);
        last = said(&object, own.map_or(&status["conditions"], |entry| &entry["conditions"]));
        last == expected
    });
    assert!(
        found,
        "{}: `{last}`, not `{expected}`: {:#}",
        what["metadata"]["name"],
        server.get(what).unwrap()
    );
}

fn until(time: Duration, mut done: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while start.elapsed() < time {
        if done() {
            return true;
        }
        thread::sleep(Duration::from_millis(20));
    }
    false
}

fn told(agent: &Agent) -> String {
    String::from_utf8_lossy(&agent.umbra(&["status"]).stdout).into_owned()
}

fn lease(server: &ApiServer) -> Value {
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "umbra-status", "namespace": "umbra"},
    });
    server.get(&lease).unwrap_or_default()
}

const GOOD: &str = "Accepted=True/Accepted ResolvedRefs=True/ResolvedRefs";

#[test]
fn what_became_of_objects_is_written_where_people_look() {
    let world = World::new();
    let server = ApiServer::start(world.node.netns());
    cluster(&world, &server);
    let theirs = json!({
        "controllerName": "example.com/other", "parentRef": {"group": "", "kind": "Service", "name": SERVICE.name},
        "conditions": [{"type": "Accepted", "status": "True", "reason": "Accepted", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
    });
    let mut web = route(COPIES.name);
    web["status"] = json!({"parents": [theirs]});
    server.apply(&web);
    let [good, lost, invalid] =
        [policy("good", "web", "2s"), policy("lost", "nobody", "2s"), policy("invalid", "web", "soon")];
    [&good, &lost, &invalid].into_iter().for_each(|policy| server.apply(policy));
    let agent = writer(&world, &server, NODE);

    eventually_said(&server, &good, GOOD);
    assert_eq!(server.get(&good).unwrap()["status"]["mirrors"], 1);
    eventually_said(&server, &lost, "Accepted=True/Accepted ResolvedRefs=False/TargetNotFound");
    eventually_said(&server, &invalid, "Accepted=False/Invalid ResolvedRefs=Unknown/Pending");
    eventually_said(&server, &web, GOOD);
    let parents = server.get(&web).unwrap()["status"]["parents"].clone();
    assert_eq!((&parents[0], parents[1]["parentRef"]["name"].as_str()), (&theirs, Some(SERVICE.name)));
    let message = server.get(&invalid).unwrap()["status"]["conditions"][0]["message"].clone();
    assert!(message.as_str().unwrap().contains("spec.timeout"), "{message}");

    // What somebody must act on, once.
    let events = eventually("both events", || Some(server.events(SHOP)).filter(|events| events.len() == 2));
    let mut about: Vec<_> = events
        .iter()
        .map(|event| format!("{} {} {}", event["type"], event["reason"], event["regarding"]["name"]))
        .collect();
    about.sort_unstable();
    assert_eq!(about, ["\"Warning\" \"Invalid\" \"invalid\"", "\"Warning\" \"RefNotFound\" \"lost\""]);

    // Changes.
    server.apply(&policy("invalid", "web", "3s"));
    eventually_said(&server, &invalid, GOOD);
    server.apply(&route("nobody"));
    eventually_said(&server, &web, "Accepted=True/Accepted ResolvedRefs=False/BackendNotFound");
    let told = told(&agent);
    assert!(told.contains("status: written by this agent, "), "{told}");
    assert_eq!(agent.metrics().sum("umbra_status_writer"), 1.0);
    let mut plain = route(COPIES.name);
    plain["spec"]["rules"][0]["filters"] = json!([]);
    server.apply(&plain);
    let alone = || server.get(&web).unwrap()["status"]["parents"] == json!([theirs]);
    assert!(until(Duration::from_secs(20), alone), "{:#}", server.get(&web).unwrap()["status"]);

    assert!(lease(&server)["spec"]["holderIdentity"].as_str().unwrap().starts_with(NODE));
    assert!(agent.stop().success());
    assert!(lease(&server)["spec"]["holderIdentity"].is_null(), "it is left to the next agent");
}

#[test]
fn one_agent_writes_and_another_takes_over_when_it_dies() {
    let world = World::new();
    let server = ApiServer::start(world.node.netns());
    cluster(&world, &server);
    server.apply(&route(COPIES.name));
    let good = policy("good", "web", "2s");
    server.apply(&good);
    let mut first = writer(&world, &server, "node-1");
    eventually_said(&server, &good, GOOD);
    let second = writer(&world, &server, "node-2");
    eventually("the second to know who writes", || {
        told(&second).contains("status: written by node-1-").then_some(())
    });
    assert_eq!(second.metrics().select("umbra_status_writer").map(|it| it.value).collect::<Vec<_>>(), [0.0]);
    let version = |object: &Value| server.get(object).unwrap()["metadata"]["resourceVersion"].clone();
    let written = version(&good);

    first.kill();
    let died = Instant::now();
    let taken = until(Duration::from_secs(60), || told(&second).contains("status: written by this agent"));
    assert!(taken, "{}\n{}", told(&second), second.log());
    println!("the lease was taken over after {:.1?}", died.elapsed());
    assert_eq!(lease(&server)["spec"]["leaseTransitions"], 1);
    let lost = policy("lost", "nobody", "2s");
    server.apply(&lost);
    eventually_said(&server, &lost, "Accepted=True/Accepted ResolvedRefs=False/TargetNotFound");
    assert_eq!(version(&good), written, "what was said is not said again");
}

/// Only the stub tells what it was asked for.
#[test]
fn nothing_is_written_again_while_nothing_changes() {
    let world = World::new();
    let server = ApiServer::stub(world.node.netns());
    cluster(&world, &server);
    server.apply(&route(COPIES.name));
    let policies = [policy("good", "web", "2s"), policy("lost", "nobody", "2s")];
    policies.iter().for_each(|policy| server.apply(policy));
    let agent = writer(&world, &server, NODE);
    eventually_said(&server, &policies[1], "Accepted=True/Accepted ResolvedRefs=False/TargetNotFound");
    eventually_said(&server, &route(""), GOOD);
    eventually("the event", || (!server.events(SHOP).is_empty()).then_some(()));
    let asked = |method: &str, what: &str| {
        let fits = |line: &&String| line.starts_with(method) && line.contains(what);
        server.asked().iter().filter(fits).count()
    };
    let writes = || asked("PUT", "/status?fieldManager=umbra") + asked("POST", "/events");
    let before = writes();
    assert_eq!(before, 4, "two policies, a route, an event: {:#?}", server.asked());

    // Others go on, and so does the lease.
    let renewals = asked("PUT", "/leases/");
    for ready in [true, false, true] {
        let mut away = endpoint("cart-3", SHOP, "node-2", world.ip(3));
        away["conditions"]["ready"] = ready.into();
        server.apply(&SERVICE.slice(&[endpoint("cart-1", SHOP, NODE, world.ip(1)), away]));
    }
    assert!(until(Duration::from_secs(60), || asked("PUT", "/leases/") >= renewals + 3), "{}", agent.log());
    assert_eq!(writes(), before, "{:#?}", server.asked());
}

#[test]
fn without_the_right_to_it_mirrors_and_says_so() {
    let world = World::new();
    let server = ApiServer::stub(world.node.netns());
    cluster(&world, &server);
    server.apply(&subsets());
    server.apply(&mirror_to("v2"));
    server.apply(&policy("good", "web", "2s"));
    server.forbid("/leases");
    let first = world.agent(&server).arguments(&["--write-status"]).start();
    let load = world.load();
    world.until_copied_to(2);
    eventually("the reason", || {
        let told = told(&first);
        (told.contains("status: written by no agent that is known: lease umbra-status: ")
            && told.contains("(403)"))
        .then_some(())
    });
    server.apply(&mirror_to("v3"));
    world.until_copied_to(3);
    assert!(first.log().contains("cannot be written"), "{}", first.log());

    server.forbid("/good/status");
    let second = writer(&world, &server, "node-2");
    eventually("the reason", || {
        let told = told(&second);
        (told.contains("status: written by this agent: shadowpolicies: ") && told.contains("(403)"))
            .then_some(())
    });
    assert!(load.stop().failures.is_empty());
    first.accounting_is_exact();
}
