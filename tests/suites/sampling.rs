//! ShadowPolicy's `sampling` on real traffic. `mode: Connection`: whole connections are copied, the others never leave
//! the kernel, and both are counted. `mode: Sticky`: sessions stay what they are over restarts.

#![allow(clippy::unwrap_used, reason = "a suite fails where it stands")]

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use support::{
    Agent, AgentBuilder, Config, Connection, Node, Pod, Upstream, UpstreamBuilder, eventually, upstream,
};

const BY_CONNECTION: &str = "{mode: Connection}";

/// A policy for the rule `all`.
fn policy(sampling: &str) -> String {
    format!(
        "---\napiVersion: umbra.dev/v1alpha1\nkind: ShadowPolicy\nmetadata: {{name: p, namespace: default}}\nspec:\n  \
         targetRefs: [{{kind: VirtualService, name: app, sectionName: all}}]\n  sampling: {sampling}\n"
    )
}

/// One app with its shadows, and an agent between.
struct Scene {
    client: Pod,
    primary: Upstream,
    shadows: Vec<Upstream>,
    yaml: String,
    agent: Agent,
}

impl Scene {
    fn new(node: &Node, shares: &[f64], sampling: &str) -> Self {
        Self::with(node, Pod::ip, shares, |yaml| yaml + &policy(sampling))
    }

    fn with(
        node: &Node,
        ip: impl FnOnce(&Pod) -> std::net::IpAddr,
        shares: &[f64],
        finish: impl FnOnce(String) -> String,
    ) -> Self {
        let (app, client) = (node.pod("app"), node.pod("client"));
        let primary = UpstreamBuilder::new(app.netns(), ip(&app)).replies("ok").start();
        let mut config = Config::capture(&app.netns().path(), primary.address());
        let mut shadows = Vec::new();
        for (number, share) in shares.iter().enumerate() {
            let shadow = upstream(&node.pod(&format!("shadow-{number}"))).replies("ok").start();
            config = config.mirror(shadow.address(), *share);
            shadows.push(shadow);
        }
        let agent = AgentBuilder::new(node.netns());
        let yaml = finish(config.to_yaml(agent.admin()));
        let agent = agent.yaml(&yaml).start();
        Self { client, primary, shadows, yaml, agent }
    }

    fn app(&self) -> SocketAddr {
        self.primary.address()
    }

    /// So many connections with a request for each of these paths below its number; they stay open.
    fn connect(&self, count: usize, paths: &[&str]) -> Vec<Connection> {
        let connections = (0..count).map(|number| {
            let mut wire = self.client.connect(self.app());
            for path in paths {
                get(&mut wire, &format!("{path}/{number}"));
            }
            wire
        });
        connections.collect()
    }

    fn verdicts(&self, verdict: &str) -> usize {
        let found =
            self.agent.metrics().sum(&format!("umbra_capture_verdicts_total{{verdict=\"{verdict}\"}}"));
        format!("{found:.0}").parse().unwrap()
    }

    /// Puts other rules in force.
    fn reload(&self, yaml: &str) {
        fs::write(self.agent.config_path(), yaml).unwrap();
    }
}

fn get(wire: &mut Connection, path: &str) {
    wire.send(format!("GET {path} HTTP/1.1\r\nHost: app.test\r\n\r\n"));
    assert_eq!(wire.reply().status, 200);
}

/// Copies by the number of their connection.
fn by_connection(shadow: &Upstream, prefix: &str) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for copy in shadow.received().iter().filter(|copy| copy.target.starts_with(prefix)) {
        *found.entry(copy.target.rsplit('/').next().unwrap().to_owned()).or_default() += 1;
    }
    found
}

/// Seven standard deviations of the binomial on each side: fails once in 10^11 runs.
fn assert_share(hits: usize, of: usize, percent: u32) {
    let (p, of) = (f64::from(percent) / 100.0, f64::from(u32::try_from(of).unwrap()));
    let off = (f64::from(u32::try_from(hits).unwrap()) - of * p).abs();
    assert!(off <= 7.0 * (of * p * (1.0 - p)).sqrt(), "{hits} of {of} at {percent} %");
}

#[test]
fn whole_connections_are_copied_and_the_others_never_leave_the_kernel() {
    const COUNT: usize = 200;
    for ip in [Pod::ip, Pod::ip6] {
        let node = Node::new();
        let scene = Scene::with(&node, ip, &[50.0], |yaml| yaml + &policy(BY_CONNECTION));

        let open = scene.connect(COUNT, &["/a", "/b", "/c"]);

        let (assigned, unsampled) = (scene.verdicts("assigned"), scene.verdicts("unsampled"));
        assert_eq!(assigned + unsampled, COUNT);
        assert_share(assigned, COUNT, 50);
        let offered = u32::try_from(3 * assigned).unwrap();
        scene.agent.eventually("umbra_shadow_offered_total", offered);
        scene.agent.eventually("umbra_shadow_outcomes_total{outcome=\"completed\"}", offered);
        let copied = by_connection(&scene.shadows[0], "/");
        assert_eq!(copied.len(), assigned);
        assert!(copied.values().all(|copies| *copies == 3), "all requests of a connection: {copied:?}");
        assert_eq!(scene.primary.count(), 3 * COUNT);
        drop(open);
        scene.agent.accounting_is_exact();
    }
}

#[test]
fn one_connection_of_a_hundred_costs_the_others_nothing() {
    const COUNT: usize = 600;
    let node = Node::new();
    let scene = Scene::new(&node, &[1.0], BY_CONNECTION);

    let _open = scene.connect(COUNT, &["/a"]);

    let assigned = scene.verdicts("assigned");
    assert_share(assigned, COUNT, 1);
    assert_eq!(scene.verdicts("unsampled"), COUNT - assigned);
    scene.agent.eventually("umbra_shadow_offered_total", u32::try_from(assigned).unwrap());
    scene.agent.eventually("istio_request_mirror_percentage", 1);
    scene.agent.accounting_is_exact();
}

#[test]
fn the_connections_of_a_smaller_share_are_among_those_of_a_larger_one() {
    const COUNT: usize = 200;
    let node = Node::new();
    let scene = Scene::new(&node, &[20.0, 60.0], BY_CONNECTION);

    let _open = scene.connect(COUNT, &["/a", "/b"]);

    let assigned = scene.verdicts("assigned");
    assert_eq!(assigned + scene.verdicts("unsampled"), COUNT, "captured for the larger share");
    let [smaller, larger] =
        [0, 1].map(|mirror| format!("umbra_shadow_outcomes_total{{mirror=\"shadow-{mirror}.test:80\""));
    scene
        .agent
        .eventually(&format!("{larger},outcome=\"completed\"}}"), u32::try_from(2 * assigned).unwrap());
    scene.agent.accounting_is_exact();
    let [few, many] = [0, 1].map(|shadow| by_connection(&scene.shadows[shadow], "/"));
    assert_share(many.len(), COUNT, 60);
    assert_share(few.len(), COUNT, 20);
    assert_eq!(many.len(), assigned);
    assert!(few.keys().all(|connection| many.contains_key(connection)));
    assert!(few.values().all(|copies| *copies == 2));
    scene.agent.eventually(
        &format!("{smaller},outcome=\"sampled_out\"}}"),
        u32::try_from(2 * (assigned - few.len())).unwrap(),
    );
}

#[test]
fn a_mirror_that_draws_for_requests_needs_every_connection() {
    const COUNT: usize = 150;
    let each = "  http:\n  - name: each\n    match: [{uri: {prefix: /each}}]\n    \
                route: [{destination: {host: app.test}}]\n    mirror: {host: shadow-0.test}\n";
    let node = Node::new();
    let scene = Scene::with(&node, Pod::ip, &[50.0], |yaml| {
        yaml.replacen("  http:\n", each, 1) + &policy(BY_CONNECTION)
    });

    let _open = scene.connect(COUNT, &["/each", "/a", "/b"]);

    assert_eq!((scene.verdicts("assigned"), scene.verdicts("unsampled")), (COUNT, 0));
    scene.agent.accounting_is_exact();
    let [each, some] = ["/each", "/a"].map(|prefix| by_connection(&scene.shadows[0], prefix));
    assert_eq!(each.len(), COUNT);
    assert_share(some.len(), COUNT, 50);
    assert_eq!(some, by_connection(&scene.shadows[0], "/b"), "the agent draws once for each connection");
}

#[test]
fn a_new_share_is_for_new_connections_and_leaves_open_ones_where_they_are() {
    let node = Node::new();
    let scene = Scene::new(&node, &[100.0], BY_CONNECTION);
    let mut relayed = scene.connect(1, &["/before"]).remove(0);
    scene.agent.eventually("umbra_shadow_outcomes_total{outcome=\"completed\"}", 1);

    scene.reload(&scene.yaml.replacen("value: 100", "value: 0.0001", 1));
    let mut direct = eventually("a connection that is left out", || {
        let before = scene.verdicts("unsampled");
        let open = scene.connect(1, &["/direct"]).remove(0);
        (scene.verdicts("unsampled") > before).then_some(open)
    });
    get(&mut relayed, "/less");
    scene.agent.eventually("istio_request_mirror_percentage", 0);
    assert!(by_connection(&scene.shadows[0], "/less").is_empty(), "copies follow the share at once");

    scene.reload(&scene.yaml);
    eventually("a connection that is handed over", || {
        let before = scene.verdicts("assigned");
        let _open = scene.connect(1, &["/again"]);
        (scene.verdicts("assigned") > before).then_some(())
    });
    let offered = scene.agent.metrics().sum("umbra_shadow_offered_total");
    get(&mut direct, "/never");
    get(&mut relayed, "/after");
    eventually("the copy of a connection that was relayed all the time", || {
        (!by_connection(&scene.shadows[0], "/after").is_empty()).then_some(())
    });
    assert!(scene.agent.metrics().sum("umbra_shadow_offered_total") - offered < 1.5);
    assert!(by_connection(&scene.shadows[0], "/never").is_empty(), "it stays in the kernel");
    scene.agent.accounting_is_exact();
}

#[test]
fn a_paused_mirror_leaves_the_kernels_share_as_it_is() {
    let node = Node::new();
    let scene = Scene::new(&node, &[100.0], BY_CONNECTION);
    assert!(scene.agent.umbra(&["pause", "--all"]).status.success());

    let _open = scene.connect(20, &["/a"]);

    assert_eq!((scene.verdicts("assigned"), scene.verdicts("unsampled")), (20, 0));
    scene.agent.eventually("umbra_shadow_outcomes_total{outcome=\"dropped\",reason=\"paused\"}", 20);
    scene.agent.accounting_is_exact();
}

#[test]
fn a_session_is_mirrored_after_a_restart_if_and_only_if_it_was_before() {
    const SESSIONS: usize = 100;
    let node = Node::new();
    let mut scene = Scene::new(&node, &[40.0], "{mode: Sticky, sticky: {cookie: session}}");
    let visit = |scene: &Scene, round: &str| {
        let mut wire = scene.client.connect(scene.app());
        for session in 0..SESSIONS {
            let cookie = format!("Cookie: a=b; session=user-{session}");
            wire.send(format!("GET /{round}/{session} HTTP/1.1\r\nHost: app.test\r\n{cookie}\r\n\r\n"));
            assert_eq!(wire.reply().status, 200);
        }
        scene.agent.eventually("umbra_shadow_offered_total", u32::try_from(SESSIONS).unwrap());
        scene.agent.accounting_is_exact();
        by_connection(&scene.shadows[0], &format!("/{round}/"))
    };
    let before = visit(&scene, "before");
    assert_share(before.len(), SESSIONS, 40);

    scene.agent.kill();
    let next = AgentBuilder::new(node.netns());
    let yaml = scene.yaml.replace(&scene.agent.admin().to_string(), &next.admin().to_string());
    scene.agent = next.yaml(&yaml).start();

    assert_eq!(visit(&scene, "after"), before);
}

/// More threads than CPUs, so that some always wait; ends when this is dropped.
struct Busy(std::sync::Arc<AtomicBool>);

impl Busy {
    fn new() -> Self {
        let on = std::sync::Arc::new(AtomicBool::new(true));
        for _ in 0..2 * thread::available_parallelism().unwrap().get() {
            let on = std::sync::Arc::clone(&on);
            thread::spawn(move || while on.load(Ordering::Relaxed) {});
        }
        Self(on)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

#[test]
fn a_busy_node_hands_over_fewer_connections() {
    let node = Node::new();
    let sampling = "{mode: Connection, adaptive: {floor: {value: 10}, maxCpuPressure: {value: 1}}}";
    let scene = Scene::new(&node, &[100.0], sampling);
    let busy = Busy::new();
    eventually("the share to fall", || {
        (scene.agent.metrics().sum("istio_request_mirror_percentage") < 75.0).then_some(())
    });
    eventually("the kernel to follow", || {
        let _open = scene.connect(5, &["/a"]);
        (scene.verdicts("unsampled") > 0).then_some(())
    });
    drop(busy);
    scene.agent.accounting_is_exact();
}
