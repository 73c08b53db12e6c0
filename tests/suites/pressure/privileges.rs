//! What an agent may, as the kernel tells of each of its threads.

use std::{collections::BTreeMap, fs};

use support::{Agent, Config, Node, agent, eventually, upstream};

use crate::{ask, comes_back};

/// As deploy/systemd/umbra.service grants them: bits of capability.h.
const NEEDED: [(&str, u32); 5] =
    [("net_bind_service", 10), ("net_admin", 12), ("sys_ptrace", 19), ("sys_admin", 21), ("bpf", 39)];
const BPF: u64 = 1 << 39;
const DAC_READ_SEARCH: u64 = 1 << 2;

/// Starts the agent with these capabilities and no others.
fn with(capabilities: &[&str]) -> String {
    let granted: String = capabilities.iter().map(|name| format!(",+{name}")).collect();
    format!("set -- setpriv --inh-caps=-all --bounding-set=-all{granted} -- \"$@\"")
}

fn all_needed() -> u64 {
    NEEDED.iter().fold(0, |all, (_, bit)| all | 1 << bit)
}

/// Of each thread by name: what it may do, and what it may ever do; every one of them under the same restrictions.
fn threads(agent: &Agent) -> BTreeMap<String, (u64, u64)> {
    let tasks = fs::read_dir(format!("/proc/{}/task", agent.pid())).unwrap().map(Result::unwrap);
    let read = |task: fs::DirEntry| {
        // Those that wait for work that blocks end by themselves.
        let status = fs::read_to_string(task.path().join("status")).ok()?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim_start_matches(':').trim().to_owned()
        };
        let set = |name: &str| u64::from_str_radix(&field(name), 16).unwrap();
        assert_eq!((field("NoNewPrivs").as_str(), field("Seccomp").as_str()), ("1", "2"), "{status}");
        assert_eq!((set("CapInh"), set("CapAmb")), (0, 0), "{status}");
        assert_eq!(set("CapEff"), set("CapPrm"), "{status}");
        Some((field("Name"), (set("CapEff"), set("CapBnd"))))
    };
    tasks.filter_map(read).collect()
}

#[test]
fn whatever_it_was_started_with_an_agent_keeps_what_it_needs_and_works() {
    let names: Vec<_> = NEEDED.iter().map(|(name, _)| *name).collect();
    // Of root everything goes that is not needed; of the list of the service, with the right to narrow it gone, nothing.
    for (prelude, reading) in [(String::new(), DAC_READ_SEARCH), (with(&names), 0)] {
        let node = Node::new();
        let (app, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
        let primary = upstream(&app).replies("ok").start();
        let copies = upstream(&shadow).replies("ok").start();
        let agent = agent(&node).mirror_all(&primary, &copies).after(&prelude).start();
        ask(client.netns(), primary.address()).unwrap();
        copies.eventually_received(1);

        let threads = threads(&agent);
        for (name, (effective, bounding)) in &threads {
            let expected = match name.as_str() {
                name if name.starts_with("shadow-") => 0,
                "umbra-admin" => BPF,
                name if name.starts_with("umbra-data-") || name == "umbra-heart" => all_needed(),
                // Rules and keys may be anybody's.
                _ => all_needed() | reading,
            };
            assert_eq!((*effective, *bounding), (expected, all_needed() | reading), "{name}: {threads:?}");
        }
        assert!(threads.keys().any(|name| name.starts_with("umbra-data-")), "{threads:?}");

        // Rules change, and everything is left as it was found, with what is left of the rights.
        for (share, changes) in [(0.0, 1), (100.0, 2)] {
            let changed =
                Config::capture(&app.netns().path(), primary.address()).mirror(copies.address(), share);
            fs::write(agent.config_path(), changed.to_yaml(agent.admin())).unwrap();
            let in_force =
                || (agent.log().matches("new rules are in force").count() == changes).then_some(());
            eventually("new rules", in_force);
        }
        comes_back(&agent, client.netns(), primary.address());
        assert!(agent.stop().success());
        let rules = app.netns().command("ip").args(["rule"]).output().unwrap();
        assert!(!String::from_utf8_lossy(&rules.stdout).contains("77"), "{rules:?}");
        ask(client.netns(), primary.address()).unwrap();
    }
}

#[test]
fn plain_listeners_need_no_privilege_at_all() {
    let node = Node::new();
    let (app, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
    let primary = upstream(&app).replies("ok").start();
    let copies = upstream(&shadow).replies("ok").start();
    let at = {
        let free = node.netns().listen("0.0.0.0:0".parse().unwrap());
        free.local_addr().unwrap().port()
    };
    let builder = agent(&node);
    let config = Config::capture("host", primary.address()).mirror(copies.address(), 100.0);
    let direct =
        format!("    direct:\n    - {{listen: '0.0.0.0:{at}', upstream: '{}'}}\n", primary.address());
    let yaml = config.to_yaml(builder.admin()).replace("    inbound:\n    - netns: host\n", &direct);
    let agent = builder.yaml(&yaml).after(&with(&[])).start();

    // The node's end of the link to the client's pod.
    let gateway = match client.ip() {
        std::net::IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            std::net::IpAddr::from([a, b, c, 1])
        }
        std::net::IpAddr::V6(_) => unreachable!("pods' first address is IPv4"),
    };
    ask(client.netns(), (gateway, at).into()).unwrap();

    copies.eventually_received(1);
    assert!(threads(&agent).values().all(|rights| *rights == (0, 0)));
}

#[test]
fn the_doctor_tells_which_mode_results_and_why() {
    let node = Node::new();
    let app = node.pod("app");
    let doctor = |prelude: &str| {
        let script = format!("{prelude}\nexec \"$@\"");
        let mut command = node.netns().command("sh");
        command.args(["-ec", &script, "sh"]).arg(support::binary());
        command.args(["doctor", "--netns", &app.netns().path(), "-o", "json"]);
        let output = command.output().unwrap();
        let told: serde_json::Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
        (output.status.code(), told)
    };
    let (code, told) = doctor("");
    assert_eq!((code, told["mode"].as_str()), (Some(0), Some("full")), "{told:#}");

    let (code, told) = doctor(&with(&["bpf", "net_admin", "net_bind_service", "sys_ptrace"]));
    assert_eq!((code, told["mode"].as_str()), (Some(1), Some("direct")), "{told:#}");
    assert!(told["because"].as_array().unwrap().iter().any(|check| check == "capabilities"), "{told:#}");

    // As containers have it.
    let readonly = "set -- unshare --mount sh -ec 'mount --bind /proc/sys /proc/sys; \
                    mount -o remount,ro,bind /proc/sys; exec \"$@\"' sh \"$@\"";
    let (code, told) = doctor(readonly);
    assert_eq!((code, told["mode"].as_str()), (Some(1), Some("local address")), "{told:#}");
    assert_eq!(told["because"], serde_json::json!(["settings"]), "{told:#}");
}
