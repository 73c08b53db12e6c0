//! The live view and the last requests.

use std::{
    io::Read as _,
    process::{Child, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use support::{Agent, Config, Load, Node, agent, binary, eventually, upstream};

use super::{
    asked, complained,
    lines::{Tap, ask},
};

#[test]
fn a_request_is_told_once_with_its_copy_and_only_to_whom_it_concerns() {
    let node = Node::new();
    let (app, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
    let primary = upstream(&app).replies("ok").start();
    let copies = upstream(&shadow).replies("thank you").start();
    let agent = agent(&node).mirror_all(&primary, &copies).start();
    let mut all = Tap::open(node.netns(), agent.admin(), "");
    let mut some = Tap::open(
        node.netns(),
        agent.admin(),
        "path=/b*&method=POST&status=2xx&verdict=completed&to=shadow-0",
    );
    client.get(primary.address(), "/a?q=1");
    let first = all.line();
    assert_eq!(
        (&first["method"], &first["path"], &first["verdict"]),
        (&json!("GET"), &json!("/a?q=1"), &json!("completed"))
    );
    assert_eq!((&first["virtualService"], &first["rule"]), (&json!("default/app"), &json!("all")));
    assert_eq!((&first["primary"]["status"], &first["primary"]["ended"]), (&json!(200), &json!("complete")));
    assert_eq!(
        (&first["shadow"]["status"], &first["shadow"]["endpoint"]),
        (&json!(200), &json!(copies.address().to_string()))
    );
    assert_eq!(first["destination"], json!(primary.address().to_string()));
    assert!(first["client"].as_str().unwrap().starts_with(&client.ip().to_string()), "{first:#}");
    client
        .client(primary.address())
        .header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        .post("/b", b"body");
    let second = all.line();
    assert_eq!(second["trace"], "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(some.line(), second, "the first one was not for it");

    // Not copied: paused, which is a dropped copy.
    asked(&agent, &["pause", "--all"]);
    client.get(primary.address(), "/c");
    let third = all.line();
    assert_eq!((&third["verdict"], &third["shadow"]["reason"]), (&json!("dropped"), &json!("paused")));
}

#[test]
fn a_request_without_a_copy_is_told_alone() {
    let node = Node::new();
    let (app, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
    let (primary, copies) = (upstream(&app).replies("ok").start(), upstream(&shadow).start());
    let config = Config::capture(&app.netns().path(), primary.address()).mirror(copies.address(), 0.0001);
    let agent = agent(&node).config(&config).start();
    let mut all = Tap::open(node.netns(), agent.admin(), "verdict=sampled_out");
    client.get(primary.address(), "/a");
    let line = all.line();
    assert_eq!(
        (&line["path"], &line["verdict"], &line["shadow"]),
        (&json!("/a"), &json!("sampled_out"), &Value::Null)
    );
}

#[test]
fn ten_clients_that_never_read_cost_lines_and_nothing_else() {
    let node = Node::new();
    let (app, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
    let (primary, copies) = (upstream(&app).replies("ok").start(), upstream(&shadow).replies("ok").start());
    // Few copies wait, so that memory is that of the view.
    let config = Config::capture(&app.netns().path(), primary.address())
        .mirror(copies.address(), 100.0)
        .agent("  shadow: {queue: {requests: 64}}");
    let agent = agent(&node).config(&config).start();
    let load = Load::start(client.netns(), primary.address(), 4);
    load.eventually_answers(1000);
    let before = agent.memory();
    let watch = agent.watch_memory();

    let deaf: Vec<_> = (0..10).map(|_| ask(node.netns(), agent.admin(), "")).collect();
    agent.eventually("umbra_tap_clients", 10);
    let dropped = || agent.metrics().sum("umbra_tap_lines_total{result=\"dropped\"}");
    let enough = 10.0 * 200.0;
    while dropped() < enough {
        load.eventually_answers(200);
    }
    // Who reads is told all the same.
    Tap::open(node.netns(), agent.admin(), "").line();
    let peak = watch.stop();
    let report = load.stop();

    println!(
        "ten clients that never read: {} requests answered, {} failed, {} over a second; {} lines dropped, {} sent; memory {} KiB \
         before, {} KiB at the most",
        report.answered,
        report.failures.len(),
        report.slow.len(),
        dropped(),
        agent.metrics().sum("umbra_tap_lines_total{result=\"sent\"}"),
        before >> 10,
        peak >> 10
    );
    assert!(report.failures.is_empty(), "{report:?}");
    // What waits for each: 1 MiB and a few lines; the last thousand requests: 4 MiB; on the way: 8 MiB.
    assert!(peak < before + (24 << 20), "{before} bytes before, {peak} at the most");
    drop(deaf);
    agent.eventually("umbra_tap_clients", 0);
    agent.accounting_is_exact();
}

#[test]
fn who_comes_when_every_place_is_taken_is_refused_with_the_reason() {
    let node = Node::new();
    let (app, shadow) = (node.pod("app"), node.pod("shadow"));
    let (primary, copies) = (upstream(&app).start(), upstream(&shadow).start());
    let agent = agent(&node).mirror_all(&primary, &copies).start();
    let mut taps: Vec<_> = (0..16).map(|_| Tap::open(node.netns(), agent.admin(), "")).collect();
    let refused = Tap::open(node.netns(), agent.admin(), "");
    assert_eq!(refused.status, 503);
    assert!(refused.body().contains("16 clients look on already"));
    taps.pop();
    eventually("the place to be free", || {
        (Tap::open(node.netns(), agent.admin(), "").status == 200).then_some(())
    });
    // It goes, and tells those who look on, instead of waiting for them.
    assert!(agent.stop().success());
    assert_eq!(taps.remove(0).body(), "");
}

struct Running(Child);

impl Running {
    fn tap(node: &Node, agent: &Agent, arguments: &[&str]) -> Self {
        let mut command = node.netns().command(binary());
        command.arg("tap").args(arguments).env("UMBRA_ADMIN", agent.admin().to_string());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let running = Self(command.spawn().unwrap());
        agent.eventually("umbra_tap_clients", 1);
        running
    }

    /// What it has printed when it ends after Ctrl-C.
    fn interrupted(mut self) -> String {
        kill(Pid::from_raw(self.0.id().try_into().unwrap()), Signal::SIGINT).unwrap();
        let ended = eventually("the command to end", || self.0.try_wait().unwrap());
        let mut said = String::new();
        self.0.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(ended.code(), Some(0), "{said}");
        said
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_command_shows_what_comes_until_it_is_told_to_end() {
    let node = Node::new();
    let (app, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
    let primary = upstream(&app).replies("ok").start();
    let copies = upstream(&shadow).replies("ok").start();
    let agent = agent(&node).mirror_all(&primary, &copies).start();
    let sent = || agent.metrics().sum("umbra_tap_lines_total{result=\"sent\"}");
    let shown = |arguments: &[&str]| {
        let (running, before) = (Running::tap(&node, &agent, arguments), sent());
        client.get(primary.address(), "/cart/7");
        client.get(primary.address(), "/other");
        eventually("the request to be told", || (sent() > before).then_some(()));
        // Written to a pipe before the next one is asked for.
        std::thread::sleep(std::time::Duration::from_millis(300));
        let said = running.interrupted();
        agent.eventually("umbra_tap_clients", 0);
        said
    };
    let table = shown(&["--path", "/cart*"]);
    let lines: Vec<_> = table.lines().collect();
    assert!(lines[0].starts_with("TIME") && lines.len() == 2, "{table}");
    for cell in ["GET", "/cart/7", "200", "completed", "shadow-0.test:80"] {
        assert!(lines[1].contains(cell), "{cell}: {table}");
    }
    assert!(!table.contains('\x1b'), "no colours where there is no terminal");
    assert!(shown(&["--path", "/cart*", "-o", "wide"]).contains(&copies.address().to_string()));
    let json = shown(&["--path", "/cart", "-o", "json", "--verdict", "completed"]);
    let line: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(line["path"], "/cart/7");
}

#[test]
fn the_last_ones_are_there_for_whoever_comes_later() {
    let node = Node::new();
    let (app, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
    let primary = upstream(&app).replies("ok").start();
    let copies = upstream(&shadow).replies("ok").start();
    let config = Config::capture(&app.netns().path(), primary.address()).mirror(copies.address(), 100.0);
    let plain = agent(&node).config(&config).start();
    let output = plain.umbra(&["tap", "--last", "3"]);
    assert!(
        output.status.success() && complained(&output).contains("spec.admin.keepExchanges"),
        "{output:?}"
    );
    assert!(plain.stop().success());

    let builder = agent(&node);
    let yaml = config.to_yaml(builder.admin()).replacen("admin: {", "admin: {keepExchanges: 3, ", 1);
    let keeping = builder.yaml(&yaml).start();
    for n in 0..5 {
        client.get(primary.address(), &format!("/{n}"));
        // In the order in which they end, copies too.
        keeping.eventually("umbra_shadow_outcomes_total{outcome=\"completed\"}", n + 1);
    }
    let last = |arguments: &[&str]| -> Vec<String> {
        let said = asked(&keeping, &[&["tap", "-o", "json", "--last"][..], arguments].concat());
        said.lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["path"].as_str().unwrap().to_owned())
            .collect()
    };
    eventually("the last three", || (last(&["1000"]) == ["/2", "/3", "/4"]).then_some(()));
    assert_eq!(last(&["2"]), ["/3", "/4"]);
    assert_eq!(last(&["9", "--path", "/3"]), ["/3"]);
    assert!(last(&["9", "--status", "5xx"]).is_empty());

    let wrong = keeping.umbra(&["tap", "--status", "teapot"]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(
        complained(&wrong).contains("status=teapot is not a status such as 404 or 5xx"),
        "{}",
        complained(&wrong)
    );
    assert_eq!(keeping.umbra(&["tap", "--follow"]).status.code(), Some(2));
}
