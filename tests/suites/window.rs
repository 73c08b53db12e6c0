//! What a person sees of a running agent and does to it: the commands that ask it, the kill switch, and that nobody else
//! gets in.

#![allow(clippy::unwrap_used, reason = "a suite fails where it stands")]

use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output, Stdio},
};

use http::Method;
use serde_json::Value;
use support::{Agent, AgentBuilder, Client, Config, Load, Node, agent, binary, eventually, upstream};

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn complained(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What a command that succeeds prints.
fn asked(agent: &Agent, arguments: &[&str]) -> String {
    let output = agent.umbra(arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", complained(&output));
    said(&output)
}

fn mirror(agent: &Agent) -> Value {
    let list: Value = serde_json::from_str(&asked(agent, &["mirrors", "-o", "json"])).unwrap();
    assert_eq!(list["items"].as_array().unwrap().len(), 1, "{list:#}");
    list["items"][0].clone()
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let netns = support::Netns::new("readers");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("umbra.yaml");
    let app = ([10, 0, 0, 1], 8080).into();
    let yaml = Config::capture("host", app).mirror(([10, 0, 0, 2], 80).into(), 10.0);
    fs::write(&file, yaml.to_yaml(([127, 0, 0, 1], 9977).into())).unwrap();
    let file = file.to_str().unwrap();
    for arguments in [
        &["doctor", "--netns", &netns.path()][..],
        &["doctor", "-o", "json"],
        &["match", "--config", file, "GET", "http://app.test/"],
        &["check", file],
        &["check", "--list-codes"],
        &["check", "--explain", "UMB0101"],
        &["schema"],
    ] {
        let mut command = netns.command(binary());
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert!(!complained(&output).contains("panicked"), "{arguments:?}: {}", complained(&output));
        assert!(matches!(output.status.code(), Some(0 | 1)), "{arguments:?}: {output:?}");
    }
}

#[test]
fn a_paused_mirror_gets_no_copies_over_reloads_good_and_bad_until_it_is_resumed() {
    let node = Node::new();
    let (app, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
    let (primary, copies) = (upstream(&app).replies("ok").start(), upstream(&shadow).replies("ok").start());
    let config = Config::capture(&app.netns().path(), primary.address());
    let agent = agent(&node).config(&config.clone().mirror(copies.address(), 100.0)).start();
    let reload = |yaml: &str, log: &str| {
        let before = agent.log().matches(log).count();
        fs::write(agent.config_path(), yaml).unwrap();
        eventually(log, || (agent.log().matches(log).count() > before).then_some(()));
    };
    let good = |percent| config.clone().mirror(copies.address(), percent).to_yaml(agent.admin());
    let load = Load::start(client.netns(), primary.address(), 4);
    copies.eventually_received(20);

    for (pause, resume) in [
        (&["pause", "default/app all shadow-0.test:80"][..], &["resume", "shadow-0.test:80"][..]),
        (&["pause", "--all"], &["resume", "--all"]),
    ] {
        assert!(asked(&agent, pause).contains("paused"));
        asked(&agent, pause);
        let still = eventually("the copies under way to end", || {
            (mirror(&agent)["inFlight"] == 0).then(|| copies.count())
        });
        load.eventually_answers(50);
        // The rule is edited, taken out by a change that is refused, and put back; then taken out for good.
        reload(&good(90.0), "new rules are in force");
        reload("kind: Nonsense\n", "the last good one stays in force");
        reload(&good(100.0), "new rules are in force");
        let without = config.clone().mirror(copies.address(), 0.0).to_yaml(agent.admin());
        reload(&without, "new rules are in force");
        reload(&good(100.0), "new rules are in force");
        load.eventually_answers(50);
        assert_eq!(copies.count(), still);
        let found = mirror(&agent);
        assert!(found["paused"] == true && found["dropped"]["paused"].as_u64().unwrap() >= 50, "{found:#}");

        asked(&agent, resume);
        asked(&agent, resume);
        copies.eventually_received(still + 20);
        assert_eq!(mirror(&agent)["paused"], false);
    }

    let report = load.stop();
    assert!(report.failures.is_empty(), "{report:?}");
    agent.accounting_is_exact();
}

#[test]
fn a_mirror_whose_shadow_is_gone_says_so_with_the_age() {
    let node = Node::new();
    let (app, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
    let (primary, absent) = (upstream(&app).start(), shadow.refusing());
    let config = Config::capture(&app.netns().path(), primary.address()).mirror(absent.address(), 100.0);
    let agent = agent(&node).config(&config).start();
    client.get(primary.address(), "/");
    agent.eventually("umbra_shadow_outcomes_total{reason=\"connect\"}", 1);

    let found = mirror(&agent);
    assert_eq!((&found["failed"]["connect"], &found["percentage"]), (&1.into(), &100.0.into()));
    assert_eq!(found["lastError"]["endpoint"], absent.address().to_string());
    let table = asked(&agent, &["mirrors"]);
    let cells = ["default/app", "all", "shadow-0.test:80", "100 %", "on", "1: connect 1", "connect 0s ago"];
    let age = |table: &str| table.replace(" 1s ago", " 0s ago");
    assert!(cells.iter().all(|cell| age(&table).contains(cell)), "{table}");
    assert!(asked(&agent, &["mirrors", "-o", "wide"]).contains("Connection refused"));
}

#[test]
fn what_is_in_force_can_be_read_back_and_what_was_refused_too() {
    let node = Node::new();
    let (app, shadow) = (node.pod("app"), node.pod("shadow"));
    let (primary, copies) = (upstream(&app).start(), upstream(&shadow).start());
    let agent = agent(&node).mirror_all(&primary, &copies).start();

    let table = asked(&agent, &["routes"]);
    let cells = ["app.test:80", "default/app", "all", "everything", "100.0 % to shadow-0.test:80"];
    assert!(cells.iter().all(|cell| table.contains(cell)), "{table}");
    assert!(!table.contains('\x1b'), "no colours where there is no terminal");
    assert!(asked(&agent, &["routes", "-o", "yaml"]).contains("virtualService: default/app"));

    let dumped = asked(&agent, &["config", "dump"]);
    assert!(dumped.contains("connectionsPerEndpoint: 256"), "defaults are filled in: {dumped}");
    let mut check = Command::new(binary());
    let mut check = check.args(["check", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    check.stdin.take().unwrap().write_all(dumped.as_bytes()).unwrap();
    let checked = check.wait_with_output().unwrap();
    assert!(
        said(&checked).ends_with("0 errors, 0 warnings; 1 endpoint would be captured\n"),
        "{}",
        said(&checked)
    );

    fs::write(agent.config_path(), "kind: Nonsense\n").unwrap();
    eventually("the refusal", || agent.log().contains("the last good one stays in force").then_some(()));
    let dumped: Value = serde_json::from_str(&asked(&agent, &["config", "dump", "-o", "json"])).unwrap();
    assert_eq!(dumped["refused"]["diagnostics"][0]["code"], "UMB0102");
    let table = asked(&agent, &["config", "dump", "-o", "table"]);
    assert!(table.contains("a change was refused") && table.contains("VirtualService"), "{table}");
    let status = asked(&agent, &["status"]);
    assert!(status.contains("was refused") && status.contains(":1:7: UMB0102: "), "{status}");
    let metrics = agent.metrics();
    let refused = ["umbra_config_last_reload_successful", "umbra_config_reloads_total{outcome=\"refused\"}"];
    assert_eq!(refused.map(|series| metrics.sum(series)), [0.0, 1.0]);
}

#[test]
fn every_metric_is_told_of_in_the_manual() {
    let node = Node::new();
    let (app, shadow) = (node.pod("app"), node.pod("shadow"));
    let (primary, copies) = (upstream(&app).start(), upstream(&shadow).start());
    let agent = agent(&node).mirror_all(&primary, &copies).start();
    let page = include_str!("../../config/manual/metrics.md");
    let metrics = agent.metrics();
    let names: BTreeSet<_> = metrics.samples.iter().map(|sample| sample.name.as_str()).collect();
    assert!(names.len() > 12, "{names:?}");
    let untold: Vec<_> = names.into_iter().filter(|name| !page.contains(&format!("`{name}"))).collect();
    assert!(untold.is_empty(), "{untold:?}");
    let at = |name| metrics.sum(name);
    assert!(
        at("umbra_heartbeat_timestamp_seconds") >= at("umbra_config_last_reload_success_timestamp_seconds")
    );
}

#[test]
fn the_socket_is_for_its_user_in_every_namespace_and_replaces_a_dead_one() {
    let node = Node::new();
    let (app, shadow) = (node.pod("app"), node.pod("shadow"));
    let (primary, copies) = (upstream(&app).start(), upstream(&shadow).start());
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("admin.sock");
    let config = Config::capture(&app.netns().path(), primary.address()).mirror(copies.address(), 100.0);
    let config = config.socket(&socket);
    let start = || agent(&node).config(&config).start();
    let ask = |socket: &Path| {
        let place = format!("unix:{}", socket.display());
        let output = Command::new(binary()).args(["mirrors", "--admin", &place]).output().unwrap();
        assert!(said(&output).contains("shadow-0.test:80"), "{}", complained(&output));
    };

    let mut first = start();
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    ask(&socket);
    // A second one leaves it alone, and goes on.
    let second = start();
    assert!(second.log().contains("another agent answers there"), "{}", second.log());
    assert!(second.stop().success());
    ask(&socket);
    first.kill();
    assert!(socket.exists());

    let third = start();
    ask(&socket);
    assert!(third.stop().success());
    assert!(!socket.exists());
}

#[test]
fn wrong_questions_say_what_is_wrong_and_the_next_step() {
    let node = Node::new();
    let (app, shadow) = (node.pod("app"), node.pod("shadow"));
    let (primary, copies) = (upstream(&app).start(), upstream(&shadow).start());
    let mut agent = agent(&node).mirror_all(&primary, &copies).start();

    let unknown = agent.umbra(&["pause", "default/ap"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(complained(&unknown).contains("nearest names are `default/app`"), "{}", complained(&unknown));
    for arguments in
        [&["pause"][..], &["pause", "--all", "x"], &["mirrors", "--admin", "somewhere"], &["config"]]
    {
        let output = agent.umbra(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", complained(&output));
    }

    let mut page = Client::new(node.netns(), agent.admin()).header("content-type", "application/json");
    assert_eq!(page.send(Method::POST, "/api/v1/pause", br#"{"all": true}"#).unwrap().status, 200);
    let mut page = page.header("origin", "http://evil.example");
    assert_eq!(page.send(Method::POST, "/api/v1/resume", br#"{"all": true}"#).unwrap().status, 403);
    let mut rebound = Client::new(node.netns(), agent.admin()).header("host", "evil.example:9977");
    assert_eq!(rebound.send(Method::GET, "/api/v1/config", b"").unwrap().status, 421);
    assert_eq!(mirror(&agent)["paused"], true);

    let admin = agent.admin().to_string();
    agent.kill();
    let output = node.netns().command(binary()).args(["mirrors", "--admin", &admin]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let silent = complained(&output);
    for part in ["no agent answers", admin.as_str(), "Connection refused", "--admin unix:PATH"] {
        assert!(silent.contains(part), "{part}: {silent}");
    }
}

#[test]
fn a_mirror_tells_the_share_in_force_and_which_kinds_it_has_covered() {
    let node = Node::new();
    let (app, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
    let (primary, copies) = (upstream(&app).replies("ok").start(), upstream(&shadow).replies("ok").start());
    let builder = AgentBuilder::new(node.netns());
    let rules = Config::capture(&app.netns().path(), primary.address())
        .mirror(copies.address(), 100.0)
        .to_yaml(builder.admin());
    let policy = |spec: &str| {
        format!(
            "---\napiVersion: umbra.dev/v1alpha1\nkind: ShadowPolicy\nmetadata: {{name: p, namespace: default}}\nspec:\n  \
             targetRefs: [{{kind: VirtualService, name: app}}]\n  {spec}\n"
        )
    };
    let coverage = policy("sampling: {coverage: {copiesPerSecond: 1000, kinds: 64}}");
    let agent = builder.yaml(&(rules.clone() + &coverage)).start();
    for path in ["/cart", "/cart", "/orders/7"] {
        client.get(primary.address(), path);
    }
    eventually("both kinds to be told", || {
        (mirror(&agent)["kinds"] == serde_json::json!({"seen": 2, "covered": 2})).then_some(())
    });
    assert!(asked(&agent, &["mirrors", "-o", "wide"]).contains("2 of 2 covered"));

    let share = || agent.metrics().sum("istio_request_mirror_percentage");
    assert!(share() > 99.0, "{}", share());
    asked(&agent, &["pause", "--all"]);
    assert!(share() < 0.5 && mirror(&agent)["inForcePercentage"] == 0.0);
    asked(&agent, &["resume", "--all"]);
    assert!(share() > 99.0);

    fs::write(agent.config_path(), rules.clone() + &policy("ttl: 1s")).unwrap();
    eventually("the mirror's time to be over", || (mirror(&agent)["expired"] == true).then_some(()));
    assert!(share() < 0.5);
    assert!(asked(&agent, &["mirrors"]).contains("expired"));
    agent.accounting_is_exact();
}
