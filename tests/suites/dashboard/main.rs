//! The dashboard in a real browser: every view, the kill switch, nothing loaded from elsewhere, and that it can be used
//! without a mouse. What the browser does is in `browser.mjs`. `UMBRA_SHOTS` names a folder for pictures of every view.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a suite fails where it stands and says what it found"
)]

use std::{env, path::PathBuf, process::Command};

use support::{Agent, Asking, Config, Load, Node, agent, upstream};

/// What `cargo xtask test` fetched for the browser.
fn packages() -> PathBuf {
    let exe = env::current_exe().unwrap();
    let found = exe.ancestors().map(|dir| dir.join("node/node_modules")).find(|path| path.exists());
    found
        .expect("there is no node/node_modules above this program: run by `cargo xtask test`, which makes it")
}

/// Runs one scene of the script, and fails with what it says.
fn browse(node: &Node, agent: &Agent, scene: &str, shadow: &str) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/suites/dashboard/browser.mjs");
    let mut command: Command = node.netns().command("node");
    command.arg(script).args([scene, &format!("http://{}", agent.admin()), shadow]);
    let output = command.env("UMBRA_NODE_MODULES", packages()).output().unwrap();
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{said}");
    assert!(output.status.success(), "{said}\n{complained}\n{}", agent.log());
}

#[test]
fn every_view_shows_the_traffic_and_the_switch_stops_the_copies() {
    let node = Node::new();
    let (app, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
    let (app, shadow) = (upstream(&app).replies("ok").start(), upstream(&shadow).replies("ok").start());
    let config = Config::capture(&app.netns().path(), app.address()).mirror(shadow.address(), 50.0);
    let agent = agent(&node).config(&config).start();
    let load = Load::of(client.netns(), app.address(), &[Asking::Kept, Asking::Fresh]);
    load.eventually_answers(100);

    browse(&node, &agent, "all", "shadow-0.test:80");

    assert!(load.stop().failures.is_empty());
}

#[test]
fn an_agent_without_rules_and_one_that_is_gone_are_said_to_be_so() {
    let node = Node::new();
    let mut agent = agent(&node);
    agent = agent.config(&Config::capture("host", ([10, 0, 0, 1], 8080).into()));
    let agent = agent.start();

    browse(&node, &agent, "idle", "");
}
