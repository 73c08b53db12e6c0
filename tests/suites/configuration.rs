//! Bad input is refused with its place, and never reaches a running agent; good input takes effect without losing a
//! request.

#![allow(clippy::unwrap_used, reason = "a suite fails where it stands")]

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Output},
};

use nix::sys::signal::Signal;
use support::{Agent, Config, Load, Node, agent, binary, eventually, upstream};

/// A whole configuration, to be spoiled in one place.
const GOOD: &str = "\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: app}
spec:
  hosts: [app.test]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}]
  endpoints: [{address: 10.0.0.1, labels: {version: v1}}, {address: 10.0.0.2, labels: {version: v2}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: app}
spec:
  host: app.test
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: app}
spec:
  hosts: [app.test]
  http:
  - route: [{destination: {host: app.test, subset: v1}}]
    mirror: {host: app.test, subset: v2}
    mirrorPercentage: {value: 50}
";

fn check(file: &Path) -> Output {
    Command::new(binary()).arg("check").arg(file).output().unwrap()
}

#[test]
fn a_good_configuration_has_no_findings() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("good.yaml");
    fs::write(&file, GOOD).unwrap();
    let output = check(&file);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(
        (output.status.code(), text.as_str()),
        (Some(0), "0 errors, 0 warnings; 2 endpoints would be captured\n")
    );
}

#[test]
fn each_fault_is_reported_with_its_place_and_code() {
    let faults: &[(&str, &str, &str, u32, u32)] = &[
        ("kind: VirtualService", "kind: [VirtualService", "UMB0101", 20, 9),
        ("kind: VirtualService", "kind: VirtualServices", "UMB0102", 19, 7),
        ("{value: 50}", "{value: half}", "UMB0103", 26, 31),
        ("{value: 50}", "{value: 130}", "UMB0106", 26, 31),
        (
            "kind: VirtualService\nmetadata: {name: app}",
            "kind: DestinationRule\nmetadata: {name: app}\nspec: {host: app.test}\n---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: app}",
            "UMB0107",
            20,
            18,
        ),
        ("mirror: {host: app.test", "mirror: {host: other.test", "UMB0109", 25, 20),
        ("mirror: {host: app.test, subset: v2}", "mirror: {host: app.test, subset: v3}", "UMB0110", 25, 38),
    ];
    for (good, bad, code, line, column) in faults {
        assert_eq!(GOOD.matches(good).count(), 1, "{good}");
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("bad.yaml");
        fs::write(&file, GOOD.replace(good, bad)).unwrap();

        let output = check(&file);

        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(1), "{bad}: {text}");
        assert!(text.contains(&format!("error[{code}]")), "{bad}: {text}");
        assert!(
            text.contains(&format!("{}:{line}:{column}\n", file.display())),
            "{bad} at {line}:{column}: {text}"
        );

        let run = Command::new(binary()).args(["run", "--config"]).arg(&file).output().unwrap();
        assert_eq!(run.status.code(), Some(1), "a fresh agent does not start with {bad}");
        assert!(String::from_utf8_lossy(&run.stderr).contains(&format!("error[{code}]")), "{run:?}");
    }
}

#[test]
fn every_fault_of_every_file_is_reported_at_once() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.yaml"), GOOD.replace("{value: 50}", "{value: -1}")).unwrap();
    fs::write(dir.path().join("b.yaml"), "kind: Nonsense\n").unwrap();
    fs::write(dir.path().join("c.yaml"), "a: [\n").unwrap();
    let output = check(dir.path());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for (file, code) in [("a.yaml:26:31", "UMB0106"), ("b.yaml:1:", "UMB0102"), ("c.yaml:", "UMB0101")] {
        assert!(text.contains(file) && text.contains(code), "{file} {code}: {text}");
    }
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn wrong_usage_exits_with_2_and_says_what_is_wanted() {
    for arguments in
        [&["run"][..], &["check"], &["run", "--port", "80"], &["run", "--port", "0", "--mirror", "http://a"]]
    {
        let output = Command::new(binary()).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("--help"), "{output:?}");
    }
}

#[test]
fn usage_names_the_program_as_it_was_called() {
    let dir = tempfile::tempdir().unwrap();
    let other = dir.path().join("other");
    symlink(binary(), &other).unwrap();
    for command in ["run", "match"] {
        let output = Command::new(&other).arg(command).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(&format!("Usage: other {command} ")), "{said}");
    }
}

#[test]
fn without_privileges_the_next_step_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("umbra.yaml");
    let agent = "apiVersion: umbra.dev/v1alpha1\nkind: AgentConfig\nmetadata: {name: node}\nspec: {admin: {address: 127.0.0.1:0, socket: ''}}\n";
    fs::write(&file, format!("{GOOD}---\n{agent}")).unwrap();
    let mut run = Command::new("setpriv");
    run.args(["--bounding-set=-all", "--inh-caps=-all"]).arg(binary()).args(["run", "--config"]).arg(&file);
    let output = run.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    for part in ["CAP_SYS_ADMIN", "umbra doctor", "capture.direct"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn a_bad_change_leaves_the_last_good_rules_in_force_and_a_good_one_loses_no_request() {
    let node = Node::new();
    let (app, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
    let primary = upstream(&app).replies("ok").start();
    let (first, second) = (upstream(&shadow).replies("ok").start(), upstream(&shadow).replies("ok").start());
    let config = Config::capture(&app.netns().path(), primary.address());
    let agent = agent(&node).config(&config.clone().mirror(first.address(), 100.0)).start();
    let load = Load::start(client.netns(), primary.address(), 4);
    load.eventually_answers(100);

    fs::write(agent.config_path(), "kind: Nonsense\n").unwrap();
    eventually("the refusal", || agent.log().contains("the last good one stays in force").then_some(()));
    assert!(agent.log().contains("UMB0102"), "{}", agent.log());
    let before = first.count();
    load.eventually_answers(100);
    first.eventually_received(before + 1);
    assert_eq!(second.count(), 0);

    fs::write(agent.config_path(), config.clone().mirror(second.address(), 100.0).to_yaml(agent.admin()))
        .unwrap();
    second.eventually_received(100);
    let report = load.stop();

    assert!(report.failures.is_empty(), "{report:?}");
    agent.accounting_is_exact();
    assert_everything_offered(&agent, report.answered);
}

#[test]
fn a_hang_up_reloads_rules_that_no_longer_mirror() {
    let node = Node::new();
    let (app, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
    let primary = upstream(&app).replies("ok").start();
    let copies = upstream(&shadow).replies("ok").start();
    let config = Config::capture(&app.netns().path(), primary.address());
    let agent = agent(&node).config(&config.clone().mirror(copies.address(), 100.0)).start();
    let mut kept = client.client(primary.address());
    kept.get("/before");
    copies.eventually_received(1);

    let yaml = config.mirror(copies.address(), 0.0).to_yaml(agent.admin());
    fs::write(agent.config_path(), yaml).unwrap();
    agent.signal(Signal::SIGHUP);
    eventually("the new rules", || agent.log().contains("new rules are in force").then_some(()));

    // A connection that was captured stays, and is judged by the rules in force.
    kept.get("/after");
    agent.eventually("umbra_requests_total{matched=\"false\"}", 1);
    assert_eq!(client.get(primary.address(), "/direct").status, 200);
    assert_eq!(copies.count(), 1);
    agent.accounting_is_exact();
}

/// Each answered request was offered to one mirror or the other.
fn assert_everything_offered(agent: &Agent, answered: u64) {
    agent.eventually("umbra_shadow_offered_total", u32::try_from(answered).unwrap());
}
