//! Where the node is: by the labels of its Node object, nobody has to say it.

use serde_json::{Value, json};
use support::{ApiServer, eventually};

use crate::world::{NODE, RULES, SERVICE, SHOP, World, rule, subsets};

/// v2 in this zone, v3 in another, which the service's clients are to leave alone.
fn slice(world: &World) -> Value {
    let in_zone = |version: usize, zone: &str| {
        json!({"addresses": [world.ip(version)], "conditions": {"ready": true}, "zone": zone,
            "hints": {"forZones": [{"name": zone}]}})
    };
    let mut slice = SERVICE.slice(&[in_zone(2, "eu-a"), in_zone(3, "eu-b")]);
    slice["metadata"]["name"] = json!("copies-1");
    slice["metadata"]["labels"]["kubernetes.io/service-name"] = json!("copies");
    slice
}

#[test]
fn copies_stay_in_the_zone_that_the_nodes_labels_say() {
    let world = World::new();
    let server = ApiServer::start(world.node.netns());
    server.install(&RULES);
    world.populate(&server);
    let mut service = SERVICE.service();
    service["metadata"]["name"] = json!("copies");
    server.apply(&service);
    server.apply(&slice(&world));
    server.apply(&subsets());
    server.apply(&rule("cart", &json!([{"destination": {"host": "copies"}}])));
    server.apply(&json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE, "labels": {
        "topology.kubernetes.io/region": "eu", "topology.kubernetes.io/zone": "eu-a"}}}));
    let agent = world.agent(&server).start();
    eventually("the node's place", || {
        agent.log().contains("the node's labels say where it is").then_some(())
    });
    // It takes effect like any change.
    let load = world.load();
    let stays = || {
        let (near, far) = (world.shadow(2).count(), world.shadow(3).count());
        world.shadow(2).eventually_received(near + 50);
        (world.shadow(3).count() == far).then_some(())
    };
    eventually("copies to stay in the zone", stays);
    stays().unwrap();

    assert!(load.stop().failures.is_empty());
    agent.accounting_is_exact();
}

/// With the rights of an agent of before.
#[test]
fn one_that_may_not_ask_mirrors_everywhere_and_says_so() {
    let world = World::new();
    let server = ApiServer::stub(world.node.netns());
    server.install(&RULES);
    world.populate(&server);
    server.apply(&subsets());
    let host = format!("cart.{SHOP}.svc.cluster.local");
    server.apply(&rule("cart", &json!([{"destination": {"host": host}}])));
    server.forbid("/nodes/");
    let agent = world.agent(&server).start();
    let load = world.load();
    world.until_copied_to(2);
    world.until_copied_to(3);
    assert!(agent.log().contains("the place of node node-1 is not known"), "{}", agent.log());
    assert!(load.stop().failures.is_empty());
}
