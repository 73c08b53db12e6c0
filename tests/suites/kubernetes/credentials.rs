//! Credentials from a program, as the kubeconfigs of clouds have them: it is run again whenever they end, though an agent that
//! runs may start no other program.

use std::{fs, os::unix::fs::PermissionsExt as _};

use serde_json::json;
use support::{ApiServer, eventually};

use crate::world::{NODE, RULES, World, mirror_to, subsets};

#[test]
fn the_program_that_has_the_credentials_is_run_again_when_they_end() {
    let world = World::new();
    let server = ApiServer::start(world.node.netns());
    server.install(&RULES);
    world.populate(&server);
    server.apply(&subsets());
    server.apply(&mirror_to("v2"));
    let dir = tempfile::tempdir().unwrap();
    let (program, runs) = (dir.path().join("credentials"), dir.path().join("runs"));
    // Ended as soon as they are made.
    let credentials = json!({
        "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
        "status": {"token": server.token(), "expirationTimestamp": "2026-01-01T00:00:00Z"},
    });
    let script = format!("#!/bin/sh\necho run >>{}\necho '{credentials}'\n", runs.display());
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let exec = json!({"apiVersion": "client.authentication.k8s.io/v1", "command": program, "interactiveMode": "Never"});
    let kubeconfig = server.kubeconfig_of(&json!({"exec": exec}), "umbra");
    let agent = world.agent(&server).cluster(kubeconfig, NODE).start();
    let load = world.load();
    world.until_copied_to(2);
    let count = || fs::read_to_string(&runs).unwrap().lines().count();
    let before = count();

    // A list of labels of its own is asked for anew.
    server.apply(&mirror_to("v3"));
    world.until_copied_to(3);
    agent.signal(nix::sys::signal::Signal::SIGHUP);
    eventually("it to be run again", || (count() > before).then_some(()));
    assert!(agent.log().contains("credentials from a program"), "{}", agent.log());
    assert!(!agent.log().contains("Operation not permitted"), "{}", agent.log());
    assert!(load.stop().failures.is_empty());
    agent.accounting_is_exact();
}
