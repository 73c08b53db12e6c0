//! Pods found by the container runtime's socket: a real containerd's, and one that hangs.

use std::{net::IpAddr, os::unix::net::UnixListener, thread};

use serde_json::{Value, json};
use support::{Agent, Netns, Upstream, UpstreamBuilder};

use crate::{
    CAPABLE,
    cluster::{Cluster, PORT, pod},
    containerd::Containerd,
    eventually_captured, eventually_stands,
    kubelet::Runtime,
};

/// The address that its network plugin gave it.
fn address(netns: &Netns) -> IpAddr {
    let output = netns.command("ip").args(["-json", "-4", "address", "show", "eth0"]).output().unwrap();
    let devices: Value = serde_json::from_slice(&output.stdout).unwrap();
    devices[0]["addr_info"][0]["local"].as_str().unwrap().parse().unwrap()
}

/// Runs a pod of the service by containerd, and tells the cluster. Its app, and its UID.
fn run(cluster: &mut Cluster, containerd: &mut Containerd, name: &str) -> (Upstream, String) {
    let uid = format!("9c0d1e2f-37a5-4b1c-9d7e-{:012x}", cluster.others.len());
    let netns = containerd.run(name, &uid);
    let ip = address(&netns);
    let app = UpstreamBuilder::new(&netns, ip).port(PORT).replies("ok").start();
    let mut object = pod(name, &uid, &json!({}));
    object["status"]["podIPs"] = json!([{"ip": ip}]);
    cluster.others.push(object);
    cluster.serving.push(ip);
    cluster.write();
    (app, uid)
}

fn notes(standing: &Value) -> String {
    standing["notes"].to_string()
}

fn doctor(agent: &Agent, socket: &str, uid: &str) -> String {
    let netns = format!("pod:{uid}");
    let output = agent.umbra(&["doctor", "--netns", &netns, "--cri-socket", socket]);
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_real_containerd_tells_where_pods_are_and_without_it_cgroups_do() {
    let mut cluster = Cluster::new();
    let mut containerd = Containerd::start(cluster.node.netns());
    let (first, uid) = run(&mut cluster, &mut containerd, "first");

    // Its cgroup says nothing.
    let agent = cluster.agent("");
    let failing = eventually_stands(&agent, "first", "failing");
    assert!(failing["why"].as_str().unwrap().contains("no process of a pod"), "{failing:#}");
    assert!(agent.stop().success());

    let socket = containerd.socket();
    cluster.cri_socket = Some(socket.clone());
    let agent = cluster.agent(CAPABLE);
    let standing = eventually_captured(&agent, "first");
    assert!(!notes(&standing).contains("cgroup"), "{standing:#}");
    assert_eq!(standing["clientAddress"], "kept", "{standing:#}");
    cluster.eventually_mirrored(first.address());
    let told = doctor(&agent, socket.to_str().unwrap(), &uid);
    assert!(told.contains("✓ container runtime         containerd "), "{told}");
    assert!(told.contains(&format!("pod:{uid} can be entered")), "{told}");

    // What is captured stays captured, and what comes meanwhile is found as without a runtime.
    containerd.kill();
    cluster.start("second", Runtime::Containerd);
    cluster.write();
    let second = eventually_captured(&agent, "second");
    assert!(notes(&second).contains("found by its cgroup, since the container runtime at "), "{second:#}");
    let (at_first, at_second) = (first.address(), cluster.pod("second").app.address());
    for app in [at_first, at_second] {
        cluster.eventually_mirrored(app);
    }
    let table = String::from_utf8(agent.umbra(&["status"]).stdout).unwrap();
    assert!(table.contains("found by its cgroup"), "{table}");
    let told = doctor(&agent, socket.to_str().unwrap(), &uid);
    assert!(told.contains("✗ container runtime") && told.contains("nobody listens there"), "{told}");

    containerd.resume();
    let (third, _) = run(&mut cluster, &mut containerd, "third");
    let standing = eventually_captured(&agent, "third");
    assert!(!notes(&standing).contains("cgroup"), "{standing:#}");
    cluster.eventually_mirrored(third.address());
    agent.accounting_is_exact();
    assert!(agent.stop().success());
}

#[test]
fn a_runtime_that_hangs_keeps_no_pod_from_being_captured() {
    let mut cluster = Cluster::new();
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("cri.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    // Connections are taken, and that is all. It ends with the test's process.
    thread::spawn(move || {
        let mut held = Vec::new();
        for connection in listener.incoming() {
            held.push(connection);
        }
    });
    cluster.cri_socket = Some(socket);
    cluster.start("first", Runtime::Crio);
    cluster.others = vec![pod("none", "u-none", &json!({}))];
    let agent = cluster.agent(CAPABLE);

    let first = eventually_captured(&agent, "first");
    assert!(notes(&first).contains("the container runtime does not answer in time"), "{first:#}");
    let none = eventually_stands(&agent, "none", "failing");
    for way in ["the container runtime does not answer in time", "no process of a pod u-none"] {
        assert!(none["why"].as_str().unwrap().contains(way), "{none:#}");
    }
    let load = cluster.load("first");
    cluster.start("second", Runtime::Cgroupfs);
    cluster.write();
    eventually_captured(&agent, "second");
    load.eventually_answers(200);
    let report = load.stop();
    assert!(report.failures.is_empty(), "{:#?}\n{}", report.failures, agent.log());
    for name in ["first", "second"] {
        let app = cluster.pod(name).app.address();
        cluster.eventually_mirrored(app);
    }
    agent.accounting_is_exact();
    assert!(agent.stop().success());
}
