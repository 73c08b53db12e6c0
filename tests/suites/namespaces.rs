//! Many namespaces on one agent, while they come, go and change; and that each is left as it was found.

#![allow(clippy::unwrap_used, reason = "a suite fails where it stands")]

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use support::{Agent, Load, Netns, Node, Pod, Upstream, agent, eventually, upstream};

const PORT: u16 = 8080;
const MANY: usize = 200;

/// Captures in these namespaces; what arrives at the apps is mirrored.
fn config(admin: SocketAddr, namespaces: &[String], apps: &[SocketAddr], shadow: &Upstream) -> String {
    let inbound: String = namespaces.iter().map(|netns| format!("    - netns: '{netns}'\n")).collect();
    let service = |name: &str, endpoints: &[SocketAddr]| {
        let port = endpoints[0].port();
        let endpoints: String =
            endpoints.iter().map(|at| format!("  - {{address: '{}'}}\n", at.ip())).collect();
        format!(
            "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}}}\nspec:\n  \
             hosts: [{name}.test]\n  resolution: STATIC\n  ports: [{{number: 80, name: http, protocol: HTTP, targetPort: {port}}}]\n  \
             endpoints:\n{endpoints}"
        )
    };
    format!(
        "apiVersion: umbra.dev/v1alpha1\nkind: AgentConfig\nmetadata: {{name: test}}\nspec:\n  \
         admin: {{address: '{admin}', socket: ''}}\n  capture:\n    inbound:\n{inbound}{}{}---\n\
         apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: app}}\nspec:\n  hosts: [app.test]\n  \
         http:\n  - name: all\n    route: [{{destination: {{host: app.test}}}}]\n    mirror: {{host: shadow.test}}\n",
        service("app", apps),
        service("shadow", &[shadow.address()])
    )
}

fn app(pod: &Pod) -> Upstream {
    upstream(pod).port(PORT).replies("ok").start()
}

/// An agent on this node that captures there.
fn capturing(node: &Node, namespaces: &[String], apps: &[SocketAddr], shadow: &Upstream) -> Agent {
    let builder = agent(node);
    let yaml = config(builder.admin(), namespaces, apps, shadow);
    builder.yaml(&yaml).start()
}

fn status(agent: &Agent) -> Value {
    let output = agent.umbra(&["status", "-o", "json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What `umbra status` says of a namespace; null where it names none such.
fn standing(agent: &Agent, netns: &str) -> Value {
    let status = status(agent);
    let namespaces = status["namespaces"].as_array().unwrap();
    namespaces.iter().find(|namespace| namespace["netns"] == netns).cloned().unwrap_or_default()
}

fn eventually_stands(agent: &Agent, netns: &str, state: &str) -> Value {
    eventually(&format!("{netns} to be {state}"), || {
        let standing = standing(agent, netns);
        (standing["state"] == state).then_some(standing)
    })
}

/// Asks until a copy of what was asked arrives.
fn eventually_mirrored(client: &Pod, app: SocketAddr, shadow: &Upstream) {
    let before = shadow.count();
    eventually("a copy", || {
        assert_eq!(client.get(app, "/").text(), "ok");
        (shadow.count() > before).then_some(())
    });
}

/// How long it has kept processors busy, to a hundredth of a second (proc_pid_stat(5): utime and stime).
fn busy(agent: &Agent) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{}/stat", agent.pid())).unwrap();
    let fields = stat.rsplit_once(')').unwrap().1.split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

fn descriptors(agent: &Agent) -> usize {
    fs::read_dir(format!("/proc/{}/fd", agent.pid())).unwrap().count()
}

/// A name for a namespace that can be made to lead elsewhere.
struct Name {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

impl Name {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("netns");
        Self { _dir: dir, path }
    }

    fn lead_to(&self, netns: &Netns) {
        let new = self.path.with_extension("new");
        symlink(netns.path(), &new).unwrap();
        fs::rename(new, &self.path).unwrap();
    }

    fn path(&self) -> String {
        self.path.display().to_string()
    }
}

#[test]
fn two_hundred_namespaces_are_captured_by_one_agent() {
    let node = Node::new();
    let (pod, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
    let (primary, copies) = (app(&pod), upstream(&shadow).replies("ok").start());
    let one = capturing(&node, &[pod.netns().path()], &[primary.address()], &copies);
    let (memory_of_one, descriptors_of_one) = (one.memory(), descriptors(&one));
    assert!(one.stop().success());

    let many: Vec<_> = (1..MANY).map(|_| Netns::new("many")).collect();
    let before: Vec<_> = many.iter().step_by(50).map(Netns::traces).collect();
    let namespaces: Vec<_> = many.iter().map(Netns::path).chain([pod.netns().path()]).collect();
    let begun = Instant::now();
    let builder = agent(&node);
    let yaml = config(builder.admin(), &namespaces, &[primary.address()], &copies);
    let agent = builder.yaml(&yaml).spawn();
    // Not as soon as one namespace would be, on a machine that does other work.
    while !agent.is_ready() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{}", agent.log());
        thread::sleep(Duration::from_millis(5));
    }
    let (ready, worked) = (begun.elapsed(), busy(&agent));

    let metrics = agent.metrics();
    assert_eq!(metrics.sum("umbra_capture_namespaces{state=\"enrolled\"}"), 200.0, "{}", agent.log());
    eventually_mirrored(&client, primary.address(), &copies);
    let each = |all: u64, one: u64| all.saturating_sub(one) as f64 / (MANY - 1) as f64;
    let memory = agent.memory();
    println!(
        "{MANY} namespaces: ready after {ready:?}, {worked:?} of it at work; {:.1} MiB, with one {:.1} MiB: {:.1} KiB for each; {:.1} descriptors for each",
        memory as f64 / 1048576.0,
        memory_of_one as f64 / 1048576.0,
        each(memory, memory_of_one) / 1024.0,
        each(descriptors(&agent) as u64, descriptors_of_one as u64),
    );
    let begun = Instant::now();
    assert!(agent.stop().success());
    println!("{MANY} namespaces: stopped after {:?}", begun.elapsed());
    assert_eq!(many.iter().step_by(50).map(Netns::traces).collect::<Vec<_>>(), before);
}

#[test]
fn a_namespace_that_appears_later_or_is_replaced_is_captured() {
    let node = Node::new();
    let (first, second) = (node.pod("first"), node.pod("second"));
    let (shadow, client) = (node.pod("shadow"), node.pod("client"));
    let (one, two, copies) = (app(&first), app(&second), upstream(&shadow).replies("ok").start());
    let traces = [&first, &second].map(|pod| pod.netns().traces());
    let name = Name::new();

    let apps = [one.address(), two.address()];
    let agent = capturing(&node, &[name.path()], &apps, &copies);
    let failing = standing(&agent, &name.path());
    assert_eq!(failing["state"], "failing", "{failing:#}");
    assert!(failing["why"].as_str().unwrap().contains("No such file"), "{failing:#}");

    name.lead_to(first.netns());
    eventually_stands(&agent, &name.path(), "enrolled");
    eventually_mirrored(&client, one.address(), &copies);
    assert_eq!(standing(&agent, &name.path())["portCount"], 1, "the other app's address is not here");

    name.lead_to(second.netns());
    eventually_mirrored(&client, two.address(), &copies);
    eventually("the first to be as it was", || (first.netns().traces() == traces[0]).then_some(()));
    assert!(agent.stop().success());
    assert_eq!(second.netns().traces(), traces[1]);
}

#[test]
fn a_namespace_that_is_deleted_under_load_is_let_go() {
    let node = Node::new();
    let (pod, other) = (node.pod("app"), node.pod("other"));
    let (shadow, client) = (node.pod("shadow"), node.pod("client"));
    let (primary, lasting, copies) = (app(&pod), app(&other), upstream(&shadow).replies("ok").start());
    let namespaces = [pod.netns().path(), other.netns().path()];
    let agent = capturing(&node, &namespaces, &[primary.address(), lasting.address()], &copies);
    let load = Load::start(client.netns(), primary.address(), 8);
    load.eventually_answers(500);
    let links = || {
        let output = node.netns().command("ip").args(["-o", "link"]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).lines().count()
    };
    let before = links();

    drop((primary, pod));

    // The far end of its veth pair goes when the kernel has ended the namespace, which nobody may hold on to.
    eventually("the namespace to end", || (links() < before).then_some(()));
    load.stop();
    assert_eq!(eventually_stands(&agent, &namespaces[0], "failing")["connections"], 0);
    eventually_mirrored(&client, lasting.address(), &copies);
    assert!(!agent.log().contains("not everything could be restored"), "{}", agent.log());
    assert!(agent.stop().success());
}

#[test]
fn a_reload_withdraws_without_losing_a_request() {
    let node = Node::new();
    let (pod, other) = (node.pod("app"), node.pod("other"));
    let (shadow, client) = (node.pod("shadow"), node.pod("client"));
    let (primary, lasting, copies) = (app(&pod), app(&other), upstream(&shadow).replies("ok").start());
    let before = pod.netns().traces();
    let namespaces = [other.netns().path(), pod.netns().path()];
    let apps = [primary.address(), lasting.address()];
    let agent = capturing(&node, &namespaces, &apps, &copies);
    let load = Load::start(client.netns(), primary.address(), 8);
    load.eventually_answers(500);
    let counted = agent.metrics().sum("umbra_capture_verdicts_total{verdict=\"assigned\"}");
    assert!(counted >= 8.0);

    fs::write(agent.config_path(), config(agent.admin(), &namespaces[..1], &apps, &copies)).unwrap();
    let leaving = eventually_stands(&agent, &namespaces[1], "leaving");
    assert!(leaving["why"].as_str().unwrap().contains("not wanted"), "{leaving:#}");
    load.eventually_answers(500);
    let report = load.stop();

    assert!(report.failures.is_empty(), "{report:?}");
    eventually("it to be as it was", || (pod.netns().traces() == before).then_some(()));
    eventually("it to be forgotten", || standing(&agent, &namespaces[1]).is_null().then_some(()));
    assert_eq!(client.get(primary.address(), "/").text(), "ok");
    eventually_mirrored(&client, lasting.address(), &copies);
    let later = agent.metrics().sum("umbra_capture_verdicts_total{verdict=\"assigned\"}");
    assert!(later > counted, "what was counted there stays: {later} of {counted}");

    fs::write(agent.config_path(), config(agent.admin(), &namespaces, &apps, &copies)).unwrap();
    eventually_mirrored(&client, primary.address(), &copies);
    assert!(agent.stop().success());
    assert_eq!(pod.netns().traces(), before);
}

#[test]
fn exempt_sources_change_with_a_reload() {
    let node = Node::new();
    let (pod, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
    let (primary, copies) = (app(&pod), upstream(&shadow).replies("ok").start());
    let agent = capturing(&node, &[pod.netns().path()], &[primary.address()], &copies);
    eventually_mirrored(&client, primary.address(), &copies);
    let open = config(agent.admin(), &[pod.netns().path()], &[primary.address()], &copies);
    let exempt = open.replace("  capture:\n", &format!("  capture:\n    exempt: [{}]\n", client.ip()));

    fs::write(agent.config_path(), exempt).unwrap();
    eventually("an exempt connection", || {
        client.get(primary.address(), "/");
        (agent.metrics().sum("umbra_capture_verdicts_total{verdict=\"exempt\"}") > 0.0).then_some(())
    });
    fs::write(agent.config_path(), open).unwrap();
    eventually_mirrored(&client, primary.address(), &copies);
    assert!(!agent.log().contains("started again"), "{}", agent.log());
}

#[test]
fn two_names_of_one_namespace_are_enrolled_once() {
    let node = Node::new();
    let (pod, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
    let (primary, copies) = (app(&pod), upstream(&shadow).replies("ok").start());
    let (name, path) = (Name::new(), pod.netns().path());
    name.lead_to(pod.netns());
    let agent = capturing(&node, &[path.clone(), name.path()], &[primary.address()], &copies);

    assert_eq!(standing(&agent, &path)["state"], "enrolled");
    let same = standing(&agent, &name.path());
    assert!(same["state"] == "same" && same["why"].as_str().unwrap().contains(&path), "{same:#}");
    eventually_mirrored(&client, primary.address(), &copies);
}

#[test]
fn after_a_crash_a_successor_restores_what_it_did_not_change_itself() {
    let node = Node::new();
    let (pod, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
    let (primary, copies) = (app(&pod), upstream(&shadow).replies("ok").start());
    let (namespaces, apps) = ([pod.netns().path()], [primary.address()]);
    let before = pod.netns().traces();
    let mut killed = capturing(&node, &namespaces, &apps, &copies);
    let enrolled = pod.netns().traces();
    killed.kill();
    assert_eq!(pod.netns().traces(), enrolled, "a killed agent restores nothing");

    let successor = capturing(&node, &namespaces, &apps, &copies);
    eventually_mirrored(&client, primary.address(), &copies);
    assert!(successor.stop().success());

    assert_eq!(pod.netns().traces(), before);
}

#[test]
fn after_an_upgrade_the_newer_restores_what_the_older_had_changed() {
    let node = Node::new();
    let (pod, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
    let (primary, copies) = (app(&pod), upstream(&shadow).replies("ok").start());
    let (namespaces, apps) = ([pod.netns().path()], [primary.address()]);
    let before = pod.netns().traces();
    let older = capturing(&node, &namespaces, &apps, &copies);
    let newer = capturing(&node, &namespaces, &apps, &copies);

    assert!(older.stop().success());
    eventually_mirrored(&client, primary.address(), &copies);
    assert!(newer.stop().success());

    assert_eq!(pod.netns().traces(), before);
}

#[test]
fn an_agent_that_may_enrol_nothing_ends_and_says_why() {
    let node = Node::new();
    let (pod, shadow) = (node.pod("app"), node.pod("shadow"));
    let (primary, copies) = (app(&pod), upstream(&shadow).replies("ok").start());
    let builder = agent(&node);
    let yaml = config(builder.admin(), &[pod.netns().path()], &[primary.address()], &copies);
    let powerless = "set -- setpriv --bounding-set=-all --inh-caps=-all \"$@\"";
    let mut agent = builder.yaml(&yaml).after(powerless).spawn();

    let status = eventually("the agent to give up", || agent.exit_status());

    assert_eq!(status.code(), Some(1), "{}", agent.log());
    assert!(agent.log().contains("it takes CAP_SYS_ADMIN"), "{}", agent.log());
}

#[test]
fn a_pod_in_a_mesh_is_refused_while_the_mesh_is_there() {
    let node = Node::new();
    let (pod, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
    let (primary, copies) = (app(&pod), upstream(&shadow).replies("ok").start());
    let before = pod.netns().traces();
    let mesh = || [15001, 15006].map(|port| pod.netns().listen(([0, 0, 0, 0], port).into()));
    let there = mesh();
    let agent = capturing(&node, &[pod.netns().path()], &[primary.address()], &copies);

    let refused = standing(&agent, &pod.netns().path());
    assert_eq!(refused["state"], "failing", "{refused:#}");
    assert!(refused["why"].as_str().unwrap().contains("Istio"), "{refused:#}");
    assert_eq!(pod.netns().traces(), before);

    drop(there);
    eventually_stands(&agent, &pod.netns().path(), "enrolled");
    eventually_mirrored(&client, primary.address(), &copies);

    // A sidecar that is slower than the agent.
    let _back = mesh();
    eventually_stands(&agent, &pod.netns().path(), "failing");
    eventually("it to be as it was", || (pod.netns().traces() == before).then_some(()));
}

#[test]
fn status_tells_how_the_app_is_reached_and_why() {
    let node = Node::new();
    let (everywhere, there) = (node.pod("everywhere"), node.pod("there"));
    let (shadow, client) = (node.pod("shadow"), node.pod("client"));
    let copies = upstream(&shadow).replies("ok").start();
    let one = app(&everywhere);
    let two = upstream(&there).port(PORT).only_on(there.ip()).replies("ok").start();
    let namespaces = [everywhere.netns().path(), there.netns().path()];
    let agent = capturing(&node, &namespaces, &[one.address(), two.address()], &copies);
    eventually_mirrored(&client, one.address(), &copies);

    for (netns, way, reason) in
        [(&namespaces[0], "V4 reserved", "every address"), (&namespaces[1], "V2 own", "this very address")]
    {
        let standing = standing(&agent, netns);
        let port = &standing["ports"][0];
        assert_eq!((port["way"].as_str(), standing["clientAddress"].as_str()), (Some(way), Some("kept")));
        assert!(port["reason"].as_str().unwrap().contains(reason), "{standing:#}");
    }
    assert_eq!(standing(&agent, &namespaces[0])["verdicts"]["assigned"], copies.count());
    let output = agent.umbra(&["status"]);
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(table.contains(" is ready, up ") && table.contains("V2 own"), "{table}");
}

/// A pod's cgroup as the kubelet makes it, with one process that lives in a namespace.
struct Kubelet {
    cgroup: PathBuf,
    process: std::process::Child,
}

impl Kubelet {
    fn run(uid: &str, netns: &Netns) -> Self {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let unified = mounts.lines().find(|line| line.contains(" - cgroup2 ")).unwrap();
        let pods = Path::new(unified.split(' ').nth(4).unwrap()).join("kubepods-umbra.slice");
        let cgroup = pods.join(format!("kubepods-umbra-pod{}.slice", uid.replace('-', "_")));
        fs::create_dir_all(cgroup.join("container")).unwrap();
        let process = netns.command("sleep").arg("1000").spawn().unwrap();
        fs::write(cgroup.join("container/cgroup.procs"), process.id().to_string()).unwrap();
        Self { cgroup, process }
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        for cgroup in [&self.cgroup.join("container"), &self.cgroup, self.cgroup.parent().unwrap()] {
            let _ = fs::remove_dir(cgroup);
        }
    }
}

#[test]
fn a_pod_is_found_by_its_uid() {
    let node = Node::new();
    let (pod, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
    let (primary, copies) = (app(&pod), upstream(&shadow).replies("ok").start());
    let uid = format!("6b1f0a4e-37a5-4b1c-9d7e-{:012x}", std::process::id());
    let (reference, host) = (format!("pod:{uid}"), "pod:00000000-host".to_owned());
    let on_host = Kubelet::run("00000000-host", node.netns());
    let agent = capturing(&node, &[reference.clone(), host.clone()], &[primary.address()], &copies);
    assert_eq!(standing(&agent, &reference)["state"], "failing");
    let refused = standing(&agent, &host);
    assert!(refused["why"].as_str().unwrap().contains("hostNetwork"), "{refused:#}");

    let running = Kubelet::run(&uid, pod.netns());
    eventually_stands(&agent, &reference, "enrolled");
    eventually_mirrored(&client, primary.address(), &copies);

    drop(running);
    eventually_stands(&agent, &reference, "failing");
    drop(on_host);
}
