//! A pod with an app on port 8080, a client, a shadow; and an agent when a test wants one.

use std::{
    io::Write as _,
    net::{IpAddr, SocketAddr},
    process::Stdio,
};

use serde_json::Value;
use support::{Agent, Config, Netns, Node, Pod, Upstream, UpstreamBuilder, agent, eventually, upstream};

pub(crate) const PORT: u16 = 8080;

pub(crate) struct Place {
    pub(crate) primary: Upstream,
    pub(crate) copies: Upstream,
    pub(crate) app: Pod,
    pub(crate) client: Pod,
    _shadow: Pod,
    pub(crate) node: Node,
}

impl Place {
    /// The app listens on every address.
    pub(crate) fn new() -> Self {
        Self::of(upstream)
    }

    /// The app listens on the pod's address alone.
    pub(crate) fn bound() -> Self {
        Self::of(|pod| upstream(pod).only_on(pod.ip()))
    }

    fn of(build: impl Fn(&Pod) -> UpstreamBuilder<'_>) -> Self {
        let node = Node::new();
        let [app, client, shadow] = ["app", "client", "shadow"].map(|label| node.pod(label));
        let primary = build(&app).port(PORT).named("app").start();
        let copies = upstream(&shadow).replies("ok").start();
        Self { primary, copies, app, client, _shadow: shadow, node }
    }

    /// Captures every address of the app's namespace.
    pub(crate) fn agent(&self) -> Agent {
        let everywhere = (IpAddr::from([0, 0, 0, 0]), PORT).into();
        let config =
            Config::capture(&self.app.netns().path(), everywhere).mirror(self.copies.address(), 100.0);
        agent(&self.node).config(&config).start()
    }

    /// The app's addresses of both families.
    pub(crate) fn addresses(&self) -> [SocketAddr; 2] {
        [self.app.ip(), self.app.ip6()].map(|ip| (ip, PORT).into())
    }

    /// Who answers the client there.
    pub(crate) fn answers(&self, at: SocketAddr) -> String {
        self.client.get(at, "/").header("x-served-by").to_owned()
    }

    /// Asks the app there once and waits for the copy. Returns whom the app saw.
    pub(crate) fn mirrored(&self, at: SocketAddr) -> IpAddr {
        let (asked, copied) = (self.primary.count(), self.copies.count());
        assert_eq!(self.answers(at), "app", "{at}");
        self.copies.eventually_received(copied + 1);
        self.primary.eventually_received(asked + 1).pop().unwrap().peer.ip()
    }
}

/// What `umbra status` says of the only namespace.
pub(crate) fn standing(agent: &Agent) -> Value {
    let output = agent.umbra(&["status", "-o", "json"]);
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    status["namespaces"][0].clone()
}

/// Loads rules of nftables, and lets them stand until the namespace ends.
pub(crate) fn nft(netns: &Netns, rules: &str) {
    let mut nft = netns.command("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    nft.stdin.take().unwrap().write_all(rules.as_bytes()).unwrap();
    assert!(nft.wait().unwrap().success(), "{rules}");
}

/// Waits for a verdict of the program of the kernel.
pub(crate) fn eventually_says(agent: &Agent, verdict: &str) {
    eventually(verdict, || {
        let selector = format!("umbra_capture_verdicts_total{{verdict=\"{verdict}\"}}");
        (agent.metrics().sum(&selector) > 0.0).then_some(())
    });
}
