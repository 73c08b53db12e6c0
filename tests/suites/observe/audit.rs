//! The audit log.

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt as _, path::Path};

use serde_json::Value;
use support::{Agent, Config, Load, Node, agent, eventually, upstream};

use super::asked;

fn read(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

fn lines(agent: &Agent, result: &str) -> f64 {
    agent.metrics().sum(&format!("umbra_audit_lines_total{{result=\"{result}\"}}"))
}

#[test]
fn it_tells_what_app_and_shadow_saw_and_nothing_else() {
    let node = Node::new();
    let (app, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
    let (primary, copies) = (upstream(&app).replies("ok").start(), upstream(&shadow).replies("ok").start());
    for dropped in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let audit = format!("  audit: {{file: {}, dropped: {dropped}}}", path.display());
        let config = Config::capture(&app.netns().path(), primary.address())
            .mirror(copies.address(), 100.0)
            .agent(&audit);
        let agent = agent(&node).config(&config).start();
        primary.forget();
        (0..20).for_each(|n| drop(client.client(primary.address()).post(&format!("/{n}?secret=1"), b"x")));
        agent.eventually("umbra_shadow_outcomes_total{outcome=\"completed\"}", 20);
        asked(&agent, &["pause", "--all"]);
        client.get(primary.address(), "/paused");
        agent.eventually("umbra_shadow_outcomes_total{outcome=\"dropped\"}", 1);
        // What is under way is written before it ends.
        assert!(agent.stop().success());

        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let mut told: Vec<_> = read(&path);
        told.sort_by_key(|line| line["time"].as_str().unwrap().to_owned());
        let seen: Vec<_> = primary.received();
        let seen = &seen[..seen.len() - usize::from(!dropped)];
        assert_eq!(told.len(), seen.len(), "{told:#?}");
        for (line, seen) in told.iter().zip(seen) {
            assert_eq!(
                (line["method"].as_str().unwrap(), line["path"].as_str().unwrap()),
                (&*seen.method, &*seen.target)
            );
            assert_eq!(line["client"].as_str().unwrap(), seen.peer.to_string());
            assert_eq!(line["primary"]["status"], 200);
        }
        let mut verdicts = BTreeMap::<_, usize>::new();
        told.iter().for_each(|line| *verdicts.entry(line["verdict"].as_str().unwrap()).or_default() += 1);
        assert_eq!((verdicts.get("completed"), verdicts.get("dropped")), (Some(&20), dropped.then_some(&1)));
    }
}

#[test]
fn files_are_followed_by_others_and_the_oldest_goes() {
    let node = Node::new();
    let (app, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
    let (primary, copies) = (upstream(&app).replies("ok").start(), upstream(&shadow).replies("ok").start());
    let folder = tempfile::tempdir().unwrap();
    let audit = format!("  audit: {{file: {}/audit.log, maxSize: 64Ki, keep: 2}}", folder.path().display());
    let config =
        Config::capture(&app.netns().path(), primary.address()).mirror(copies.address(), 100.0).agent(&audit);
    let agent = agent(&node).config(&config).start();
    let load = Load::start(client.netns(), primary.address(), 4);
    // A line is some 800 bytes.
    while lines(&agent, "written") < 400.0 {
        load.eventually_answers(50);
    }
    assert!(load.stop().failures.is_empty());
    assert!(agent.stop().success());
    let mut names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["audit.log", "audit.log.1", "audit.log.2"]);
    for name in names {
        let path = folder.path().join(name);
        // One batch at the most is longer than a whole file of this size.
        assert!(fs::metadata(&path).unwrap().len() < 2 * (64 << 10) && !read(&path).is_empty());
    }
}

#[test]
fn a_pipe_that_nobody_reads_costs_lines_and_nothing_else() {
    let node = Node::new();
    let (app, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
    let (primary, copies) = (upstream(&app).replies("ok").start(), upstream(&shadow).replies("ok").start());
    let config = Config::capture(&app.netns().path(), primary.address())
        .mirror(copies.address(), 100.0)
        .agent("  drainTimeout: 1s\n  audit: {file: /mnt/audit, dropped: true}\n  shadow: {queue: {requests: 64}}");
    let agent = agent(&node).config(&config).after("mount -t tmpfs tmpfs /mnt\nmkfifo /mnt/audit").start();
    let before = agent.memory();
    let load = Load::start(client.netns(), primary.address(), 4);
    while lines(&agent, "dropped") < 100.0 {
        load.eventually_answers(200);
    }
    let (report, after) = (load.stop(), agent.memory());
    println!(
        "a pipe that nobody reads: {} requests answered, {} failed, {} over a second; {} lines written, {} dropped; memory {} KiB \
         before, {} KiB after",
        report.answered,
        report.failures.len(),
        report.slow.len(),
        lines(&agent, "written"),
        lines(&agent, "dropped"),
        before >> 10,
        after >> 10
    );
    assert!(report.failures.is_empty(), "{report:?}");
    assert!(after < before + (24 << 20), "{before} bytes before, {after} after");
    agent.accounting_is_exact();
    assert!(agent.stop().success(), "it does not wait for the pipe");
}

#[test]
fn a_full_disk_costs_lines_and_leaves_no_half_one() {
    let node = Node::new();
    let (app, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
    let (primary, copies) = (upstream(&app).replies("ok").start(), upstream(&shadow).replies("ok").start());
    let config = Config::capture(&app.netns().path(), primary.address())
        .mirror(copies.address(), 100.0)
        .agent("  audit: {file: /mnt/audit.log}");
    let agent = agent(&node).config(&config).after("mount -t tmpfs -o size=64k tmpfs /mnt").start();
    let load = Load::start(client.netns(), primary.address(), 2);
    while lines(&agent, "failed") < 50.0 {
        load.eventually_answers(50);
    }
    let report = load.stop();
    assert!(report.failures.is_empty(), "{report:?}");
    eventually("every line to be counted", || {
        let completed = agent.metrics().sum("umbra_shadow_outcomes_total");
        let counted = lines(&agent, "written") + lines(&agent, "failed") + lines(&agent, "dropped");
        ((counted - completed).abs() < 0.5).then_some(())
    });
    let there = read(Path::new(&format!("/proc/{}/root/mnt/audit.log", agent.pid())));
    println!("a full disk: {} lines are there, {} failed", there.len(), lines(&agent, "failed"));
    let there = f64::from(u32::try_from(there.len()).unwrap());
    assert!((there - lines(&agent, "written")).abs() < 0.5, "{there} lines");
    assert_eq!(agent.log().matches("the audit log cannot be written").count(), 1, "{}", agent.log());
}

#[test]
fn a_place_that_cannot_be_written_is_said_before_anything_is_captured() {
    let node = Node::new();
    let (app, shadow) = (node.pod("app"), node.pod("shadow"));
    let (primary, copies) = (upstream(&app).start(), upstream(&shadow).start());
    let config = Config::capture(&app.netns().path(), primary.address())
        .mirror(copies.address(), 100.0)
        .agent("  audit: {file: /nowhere/audit.log}");
    let mut agent = agent(&node).config(&config).spawn();
    let ended = eventually("the agent to end", || agent.exit_status());
    assert_eq!(ended.code(), Some(1));
    let log = agent.log();
    assert!(log.contains("open the audit log /nowhere/audit.log (spec.audit)"), "{log}");
}

#[test]
fn standard_output_will_do() {
    let node = Node::new();
    let (app, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
    let (primary, copies) = (upstream(&app).replies("ok").start(), upstream(&shadow).replies("ok").start());
    let config = Config::capture(&app.netns().path(), primary.address())
        .mirror(copies.address(), 100.0)
        .agent("  audit: {stdout: true}");
    let agent = agent(&node).config(&config).start();
    client.get(primary.address(), "/a");
    eventually("the line", || agent.log().lines().any(|line| line.starts_with("{\"time\":")).then_some(()));
}
