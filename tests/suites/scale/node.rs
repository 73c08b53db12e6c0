//! The agent's node: one app that really runs, two shadows elsewhere, and a client that asks fifty times a second.

use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use support::{Agent, Client, Netns, Node, Pod, Upstream, agent, eventually, upstream};

use crate::cluster::{Cluster, NODE};

const EVERY: Duration = Duration::from_millis(20);

pub(crate) struct Place {
    pub(crate) node: Node,
    app: Pod,
    client: Pod,
    primary: Upstream,
    shadows: [(Pod, Upstream); 2],
}

/// How long a change took.
pub(crate) struct Took {
    pub(crate) what: &'static str,
    pub(crate) time: Duration,
}

impl Place {
    pub(crate) fn new() -> Self {
        let node = Node::new();
        let (app, client) = (node.pod("app"), node.pod("client"));
        let primary = upstream(&app).port(8080).replies("ok").start();
        let shadows = ["blue", "green"].map(|name| {
            let pod = node.pod(name);
            let copies = upstream(&pod).port(8080).replies("copy").start();
            (pod, copies)
        });
        Self { node, app, client, primary, shadows }
    }

    /// What the cluster knows of it.
    pub(crate) fn join(&self, cluster: &Cluster) {
        cluster.real_service("cart", self.app.ip(), NODE);
        cluster.real_service("blue", self.shadows[0].0.ip(), "node-1");
        cluster.real_service("green", self.shadows[1].0.ip(), "node-1");
        cluster.real_rule("cart", "blue");
    }

    pub(crate) fn agent(&self, cluster: &Cluster) -> Agent {
        let builder = agent(&self.node);
        let config = format!(
            "apiVersion: umbra.dev/v1alpha1\nkind: AgentConfig\nmetadata: {{name: node}}\nspec:\n  \
             admin: {{address: '{}', socket: ''}}\n  capture: {{inbound: [{{netns: {}}}]}}\n",
            builder.admin(),
            self.app.netns().path()
        );
        builder.yaml(&config).cluster(cluster.server.kubeconfig(), NODE).spawn()
    }

    pub(crate) fn ask(&self) -> Asking {
        Asking::start(self.client.netns(), &self.primary)
    }

    pub(crate) fn copies(&self, shadow: usize) -> usize {
        self.shadows[shadow].1.count()
    }

    pub(crate) fn until_copied_to(&self, shadow: usize) -> Duration {
        let copies = &self.shadows[shadow].1;
        let (start, before) = (Instant::now(), copies.count());
        eventually("a copy", || (copies.count() > before).then_some(()));
        start.elapsed()
    }

    /// Changes the rule and an endpoint, there and back, and how long until copies went by the new one.
    pub(crate) fn change(&self, cluster: &Cluster) -> [Took; 4] {
        let took = |what, shadow| Took { what, time: self.until_copied_to(shadow) };
        cluster.real_rule("cart", "green");
        let to_green = took("rule", 1);
        cluster.real_rule("cart", "blue");
        let to_blue = took("rule", 0);
        cluster.real_endpoint("blue", self.shadows[1].0.ip(), "node-1");
        let moved = took("slice", 1);
        cluster.real_endpoint("blue", self.shadows[0].0.ip(), "node-1");
        let back = took("slice", 0);
        [to_green, to_blue, moved, back]
    }

    /// A Service that no rule has named, whose endpoints change elsewhere; then a rule names it, and copies go where it is now.
    pub(crate) fn learn_of_a_new_service(&self, cluster: &Cluster) {
        let nowhere = IpAddr::from([100, 127, 255, 254]);
        cluster.real_service("red", nowhere, "node-1");
        thread::sleep(Duration::from_secs(2));
        cluster.real_endpoint("red", self.shadows[1].0.ip(), "node-1");
        cluster.real_rule("cart", "red");
        println!("a Service that no rule had named gets copies after {:.0?}", self.until_copied_to(1));
    }
}

/// A client that never rests for long.
pub(crate) struct Asking {
    tally: Arc<Tally>,
    client: JoinHandle<()>,
}

#[derive(Default)]
struct Tally {
    stop: AtomicBool,
    answered: AtomicU64,
    failed: Mutex<Vec<String>>,
}

impl Asking {
    fn start(netns: &Netns, server: &Upstream) -> Self {
        let tally = Arc::<Tally>::default();
        let (netns, server, told) = (netns.clone(), server.address(), Arc::clone(&tally));
        let ask = move || {
            let here = Netns::host();
            while !told.stop.load(Relaxed) {
                let begun = Instant::now();
                match Client::new(&here, server).send(http::Method::GET, "/items/1", b"") {
                    Ok(reply) if reply.status == 200 => drop(told.answered.fetch_add(1, Relaxed)),
                    Ok(reply) => told.failed.lock().unwrap().push(format!("{reply:?}")),
                    Err(error) => told.failed.lock().unwrap().push(format!("{error:#}")),
                }
                thread::sleep(EVERY.saturating_sub(begun.elapsed()));
            }
        };
        let client = thread::spawn(move || netns.run(ask));
        Self { tally, client }
    }

    /// How many were answered, and what failed.
    pub(crate) fn stop(self) -> (u64, Vec<String>) {
        self.tally.stop.store(true, Relaxed);
        self.client.join().unwrap();
        let failed = std::mem::take(&mut *self.tally.failed.lock().unwrap());
        (self.tally.answered.load(Relaxed), failed)
    }
}
