//! A node as Kubernetes has it: pods with cgroups in the kubelet's layouts, captured because their labels ask for it, that
//! start, restart, roll over and vanish under load.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a suite fails where it stands")]

mod cluster;
mod containerd;
mod cri;
mod kubelet;
mod runtime;

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use cluster::{Cluster, PORT, pod};
use kubelet::{Runtime, Sandbox, cgroups};
use serde_json::{Value, json};
use support::{Agent, Netns, eventually, upstream};

fn status(agent: &Agent) -> Vec<Value> {
    let output = agent.umbra(&["status", "-o", "json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    status["namespaces"].as_array().unwrap().clone()
}

/// How the pod stands; null where nothing is said of it.
fn standing(agent: &Agent, pod: &str) -> Value {
    let pod = format!("shop/{pod}");
    status(agent).into_iter().find(|standing| standing["pod"] == *pod).unwrap_or_default()
}

fn eventually_stands(agent: &Agent, pod: &str, state: &str) -> Value {
    eventually(&format!("{pod} to be {state}; {:#?}", standing(agent, pod)), || {
        let standing = standing(agent, pod);
        (standing["state"] == state).then_some(standing)
    })
}

/// From then on every new connection is handed over.
fn eventually_captured(agent: &Agent, pod: &str) -> Value {
    eventually(&format!("{pod} to be captured"), || {
        let standing = standing(agent, pod);
        (standing["portCount"] == 1).then_some(standing)
    })
}

/// Capabilities that the manual names, and no others.
const CAPABLE: &str = "set -- setpriv --inh-caps=-all \
    --bounding-set=-all,+net_admin,+sys_admin,+bpf,+sys_ptrace,+net_bind_service \"$@\"";

#[test]
fn labels_say_which_pods_are_captured_and_status_says_why_others_are_not() {
    let mut cluster = Cluster::new();
    cluster.start("plain", Runtime::Containerd);
    cluster.start("asked", Runtime::Cgroupfs).labels = json!({"umbra.dev/capture": "enabled"});
    cluster.start("not", Runtime::Containerd).labels = json!({"umbra.dev/capture": "disabled"});
    let mut on_host = pod("host", "u-host", &json!({}));
    on_host["spec"]["hostNetwork"] = json!(true);
    let mut in_mesh = pod("mesh", "u-mesh", &json!({}));
    in_mesh["metadata"]["annotations"] = json!({"sidecar.istio.io/status": "{}"});
    let mut elsewhere = pod("elsewhere", "u-elsewhere", &json!({}));
    elsewhere["spec"]["nodeName"] = json!("node-2");
    cluster.others = vec![on_host, in_mesh, elsewhere];
    let agent = cluster.agent("");

    for name in ["plain", "asked"] {
        let standing = eventually_captured(&agent, name);
        assert_eq!(standing["netns"], format!("pod:{}", cluster.pod(name).uid()));
        let address = cluster.pod(name).app.address();
        cluster.eventually_mirrored(address);
    }
    for (name, why) in [("host", "hostNetwork"), ("mesh", "sidecar.istio.io/status")] {
        let skipped = standing(&agent, name);
        assert_eq!(skipped["state"], "skipped", "{skipped:#}");
        assert!(skipped["why"].as_str().unwrap().contains(why), "{skipped:#}");
    }
    let known: Vec<_> = status(&agent).iter().map(|it| it["pod"].clone()).collect();
    assert_eq!(
        known,
        ["shop/asked", "shop/plain", "shop/host", "shop/mesh"],
        "nothing else, and not the host"
    );
    assert_eq!(agent.metrics().sum("umbra_capture_namespaces{state=\"skipped\"}"), 2.0);
    let table = String::from_utf8(agent.umbra(&["status"]).stdout).unwrap();
    assert!(table.contains("shop/plain") && table.contains("skipped"), "{table}");

    cluster.namespace = json!({});
    cluster.pod("not").labels = json!({"umbra.dev/capture": "enabled"});
    cluster.write();
    eventually_captured(&agent, "not");
    eventually("the others to be let go", || standing(&agent, "plain").is_null().then_some(()));
    assert_eq!(standing(&agent, "asked")["state"], "enrolled");
    assert!(standing(&agent, "host").is_null(), "nobody asks for it any more");
    assert!(agent.stop().success());
}

#[test]
fn of_a_pods_ports_only_the_mirrored_one_is_captured() {
    let mut cluster = Cluster::new();
    cluster.start("two", Runtime::Containerd);
    let agent = cluster.agent("");
    eventually_captured(&agent, "two");
    let (app, pod) = (cluster.pod("two").app.address(), &cluster.pods[0].pod);
    let other = upstream(pod).port(PORT + 1).replies("other").start();
    cluster.eventually_mirrored(app);
    let before = standing(&agent, "two");

    assert_eq!(cluster.client.get(other.address(), "/").text(), "other");

    let after = standing(&agent, "two");
    assert_eq!(after["ports"].as_array().unwrap().len(), 1);
    assert_eq!(after["ports"][0]["at"], app.to_string());
    assert_eq!(after["verdicts"]["assigned"], before["verdicts"]["assigned"]);
}

#[test]
fn pods_roll_over_under_load_and_no_request_fails() {
    const REPLICAS: usize = 3;
    const GENERATIONS: usize = 3;
    let runtimes = [Runtime::Containerd, Runtime::Crio, Runtime::Cgroupfs];
    let mut cluster = Cluster::new();
    let agent = cluster.agent(CAPABLE);
    let books = agent.watch_accounts();
    let (mut loads, mut answered) = (Vec::new(), 0);

    // One more than there are replicas, then one less, as a Deployment does with a surge of one.
    for (number, runtime) in (0..REPLICAS * GENERATIONS).zip(runtimes.into_iter().cycle()) {
        let name = format!("cart-{number}");
        cluster.start(&name, runtime);
        cluster.write();
        eventually_captured(&agent, &name);
        let load = cluster.load(&name);
        load.eventually_answers(200);
        loads.push((name, load));
        if loads.len() > REPLICAS {
            let (name, load) = loads.remove(0);
            cluster.pod(&name).terminating = true;
            cluster.write();
            // Connections that are open go on meanwhile, and it is captured as before.
            load.eventually_answers(100);
            let report = load.stop();
            assert!(report.failures.is_empty(), "{name}: {:#?}\n{}", report.failures, agent.log());
            answered += report.answered;
            let standing = standing(&agent, &name);
            assert_eq!(standing["state"], "enrolled", "{standing:#}");
            assert!(standing["verdicts"]["assigned"].as_u64().unwrap() > 6, "{standing:#}");
            cluster.end(&name);
        }
    }
    for (name, load) in loads {
        let report = load.stop();
        assert!(report.failures.is_empty(), "{name}: {:#?}\n{}", report.failures, agent.log());
        answered += report.answered;
    }

    assert!(books.stop() > 0);
    agent.accounting_is_exact();
    let metrics = agent.metrics();
    let (offered, completed) = (
        metrics.sum("umbra_shadow_offered_total"),
        metrics.sum("umbra_shadow_outcomes_total{outcome=\"completed\"}"),
    );
    println!("{answered} requests answered, {offered} offered, {completed} copies completed");
    assert!(offered > 0.0 && offered <= answered as f64, "{offered} of {answered}");
    assert!(cluster.shadow.count() as f64 >= completed, "{} of {completed}", cluster.shadow.count());
    let left = |state| agent.metrics().sum(&format!("umbra_capture_namespaces{{state=\"{state}\"}}"));
    eventually("the others to be let go", || (left("leaving") + left("failing") == 0.0).then_some(()));
    assert_eq!(left("enrolled"), REPLICAS as f64);
    assert!(!agent.log().contains("tried again") && !agent.log().contains("ERROR"), "{}", agent.log());
    assert!(agent.stop().success());
}

#[test]
fn a_container_that_restarts_under_load_changes_nothing() {
    let mut cluster = Cluster::new();
    for (name, runtime) in [("pause", Runtime::Containerd), ("crio", Runtime::Crio)] {
        cluster.start(name, runtime);
    }
    let agent = cluster.agent("");
    for name in ["pause", "crio"] {
        eventually_captured(&agent, name);
        let load = cluster.load(name);
        for _ in 0..3 {
            cluster.pod(name).sandbox.as_mut().unwrap().start();
            load.eventually_answers(200);
        }
        let report = load.stop();
        assert!(report.failures.is_empty(), "{:#?}\n{}", report.failures, agent.log());
        eventually_captured(&agent, name);
        let app = cluster.pod(name).app.address();
        cluster.eventually_mirrored(app);
    }
    agent.accounting_is_exact();
}

#[test]
fn a_pod_whose_sandbox_is_made_anew_is_captured_in_its_new_network() {
    let mut cluster = Cluster::new();
    cluster.start("cart", Runtime::Containerd);
    let agent = cluster.agent("");
    let first = eventually_captured(&agent, "cart");

    let anew = cluster.node.pod("anew");
    let app = upstream(&anew).port(PORT).replies("ok").start();
    let host = cluster.node.netns().clone();
    let running = cluster.pod("cart");
    running.sandbox = running.sandbox.take().map(|sandbox| sandbox.anew(anew.netns(), &host));
    running.app = app;
    running.pod = anew;
    cluster.write();

    let app = cluster.pod("cart").app.address();
    cluster.eventually_mirrored(app);
    let second = eventually_captured(&agent, "cart");
    assert_eq!(first["netns"], second["netns"]);
    assert_ne!(first["ports"][0]["at"], second["ports"][0]["at"]);
}

#[test]
fn a_pod_that_vanishes_under_load_costs_its_own_requests_only() {
    let mut cluster = Cluster::new();
    for name in ["gone", "stays"] {
        cluster.start(name, Runtime::Containerd);
    }
    let agent = cluster.agent("");
    let books = agent.watch_accounts();
    for name in ["gone", "stays"] {
        eventually_captured(&agent, name);
    }
    let (gone, stays) = (cluster.load("gone"), cluster.load("stays"));
    gone.eventually_answers(300);
    stays.eventually_answers(300);

    // Nobody asked for it: the kubelet has killed it, and tells so later.
    cluster.pods.remove(0);
    stays.eventually_answers(300);
    cluster.write();
    gone.stop();
    stays.eventually_answers(300);
    let report = stays.stop();

    assert!(report.failures.is_empty(), "{:#?}\n{}", report.failures, agent.log());
    assert!(books.stop() > 0);
    eventually("it to be forgotten", || standing(&agent, "gone").is_null().then_some(()));
    agent.accounting_is_exact();
}

#[test]
fn shadow_endpoints_of_the_same_zone_come_first() {
    let mut cluster = Cluster::new();
    cluster.start("cart", Runtime::Containerd);
    let pod = cluster.node.pod("far");
    let far = upstream(&pod).port(cluster.shadow.port()).replies("ok").start();
    let endpoint = |pod: std::net::IpAddr, zone: &str, ready: bool| json!({"addresses": [pod], "zone": zone, "conditions": {"ready": ready}, "hints": {"forZones": [{"name": zone}]}});
    let (near, away) = (cluster.shadow.address().ip(), far.address().ip());
    cluster.shadows = json!([endpoint(near, "a", true), endpoint(away, "b", true)]);
    let agent = cluster.agent("");
    eventually_captured(&agent, "cart");
    let app = cluster.pod("cart").app.address();

    for _ in 0..20 {
        assert_eq!(cluster.client.get(app, "/").text(), "ok");
    }
    cluster.shadow.eventually_received(20);
    assert_eq!(far.count(), 0);

    cluster.shadows = json!([endpoint(near, "a", false), endpoint(away, "b", true)]);
    cluster.write();
    eventually("a copy far away", || {
        cluster.client.get(app, "/");
        (far.count() > 0).then_some(())
    });
    agent.accounting_is_exact();
}

/// The agent in a container that is not privileged: a cgroup namespace of its own, settings of the kernel that it cannot
/// write, and the host's of both at other paths.
fn in_a_container(cgroup: &str) -> String {
    let host = cgroups();
    let host = host.display();
    format!(
        "mount -t tmpfs none /mnt; mkdir /mnt/cgroup /mnt/own /mnt/proc; mount --bind {host} /mnt/cgroup
         mount --bind /proc /mnt/proc; mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys
         mkdir -p {host}/{cgroup}; echo $$ > {host}/{cgroup}/cgroup.procs
         set -- unshare --cgroup sh -c 'mount -t cgroup2 none /mnt/own; umount -l /sys/fs/cgroup; exec \"$@\"' sh \"$@\""
    )
}

#[test]
fn in_a_container_what_is_the_hosts_may_be_mounted_anywhere() {
    let mut cluster = Cluster::new();
    cluster.start("crio", Runtime::Crio);
    cluster.start("containerd", Runtime::Containerd);
    let cgroup = format!("umbra-agent-{}", std::process::id());
    let agent = cluster.agent(&in_a_container(&cgroup));

    let mounts = fs::read_to_string(format!("/proc/{}/mountinfo", agent.pid())).unwrap();
    assert!(!mounts.contains(" /sys/fs/cgroup"), "{mounts}");
    for name in ["crio", "containerd"] {
        let standing = eventually_captured(&agent, name);
        assert_eq!(standing["clientAddress"], "kept", "{standing:#}");
        let app = cluster.pod(name).app.address();
        cluster.eventually_mirrored(app);
    }
    assert!(agent.stop().success());
    eventually("its cgroup to be empty", || fs::remove_dir(cgroups().join(&cgroup)).ok());
}

#[test]
fn two_hundred_pods_cost_little_also_while_others_are_looked_for() {
    const MANY: usize = 200;
    let mut cluster = Cluster::new();
    let networks: Vec<_> = (0..MANY).map(|_| Netns::new("many")).collect();
    let host = cluster.node.netns().clone();
    let sandbox = |netns| Sandbox::new(Runtime::Containerd, netns, &host);
    let sandboxes: Vec<_> = networks.iter().map(sandbox).collect();
    let object =
        |(number, sandbox): (usize, &Sandbox)| pod(&format!("pod-{number}"), &sandbox.uid, &json!({}));
    cluster.others = sandboxes.iter().enumerate().map(object).collect();
    let begun = Instant::now();
    let agent = cluster.builder().spawn();
    // Not as soon as one pod would be, on a machine that does other work.
    while !agent.is_ready() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{}", agent.log());
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(
        agent.metrics().sum("umbra_capture_namespaces{state=\"enrolled\"}"),
        MANY as f64,
        "{}",
        agent.log()
    );
    let seconds = Duration::from_secs(5);
    let cost = || {
        let (before, begun) = (busy(&agent), Instant::now());
        thread::sleep(seconds);
        (busy(&agent) - before).as_secs_f64() / begun.elapsed().as_secs_f64()
    };
    let alone = cost();
    // Ten that are not there are asked for again and again.
    cluster
        .others
        .extend((0..10).map(|number| pod(&format!("none-{number}"), &format!("u-{number}"), &json!({}))));
    cluster.write();
    eventually_stands(&agent, "none-9", "failing");
    println!(
        "{MANY} pods: {:.1} % of a core, with ten that are not found {:.1} %",
        100.0 * alone,
        100.0 * cost()
    );
    assert!(agent.stop().success());
}

/// How long it has kept processors busy (proc_pid_stat(5): utime and stime, in hundredths of a second).
fn busy(agent: &Agent) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{}/stat", agent.pid())).unwrap();
    let fields = stat.rsplit_once(')').unwrap().1.split_whitespace();
    Duration::from_millis(
        10 * fields.skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum::<u64>(),
    )
}
