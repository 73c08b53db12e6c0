//! What must hold on every kernel the agent supports: its programs load, real requests are mirrored in each way an app
//! may listen, and traffic flows on when the agent is gone. `cargo xtask kernels` runs this in other kernels.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a suite fails where it stands and says what it found"
)]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use nix::sys::utsname::uname;
use support::{Config, Node, Pod, Upstream, UpstreamBuilder, agent, upstream};

/// Whom apps see where clients' addresses are not shown to them.
const AGENT: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 77, 1));

/// Asks the app once, and waits for the copy. Returns whom the app saw.
fn mirrored(client: &Pod, app: &Upstream, at: SocketAddr, copies: &Upstream) -> (SocketAddr, SocketAddr) {
    let (asked, copied) = (app.count(), copies.count());
    let mut wire = client.connect(at);
    wire.send("POST /kernel HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(wire.reply().status, 200, "{at}");
    let copy = copies.eventually_received(copied + 1).pop().unwrap();
    assert_eq!((copy.target.as_str(), copy.body.text().as_str()), ("/kernel", "hello"), "{at}");
    (app.eventually_received(asked + 1).pop().unwrap().peer, wire.local_address())
}

#[test]
fn every_kind_of_app_is_mirrored_and_flows_on_without_the_agent() {
    let node = Node::new();
    let (app, shadow) = (node.pod("app"), node.pod("shadow"));
    let (client, exempt) = (node.pod("client"), node.pod("exempt"));
    let everywhere = upstream(&app).start();
    let everywhere6 = UpstreamBuilder::new(app.netns(), app.ip6()).start();
    let own = upstream(&app).only_on(app.ip()).start();
    let own6 = UpstreamBuilder::new(app.netns(), app.ip6()).only_on(app.ip6()).start();
    let localhost = Ipv4Addr::LOCALHOST.into();
    let inside = UpstreamBuilder::new(app.netns(), localhost).only_on(localhost).start();
    let copies = upstream(&shadow).start();
    let config = Config::capture(&app.netns().path(), everywhere.address())
        .also(everywhere6.address())
        .also(own.address())
        .also(own6.address())
        .also(inside.address())
        .mirror(copies.address(), 100.0)
        .agent(&format!("    exempt: [{}]", exempt.ip()));
    let mut agent = agent(&node).config(&config).start();

    // The port is kept where a socket may say from which range it wants one (IP_LOCAL_PORT_RANGE, Linux 6.3).
    let kept = release() >= (6, 3);
    for app in [&everywhere, &everywhere6] {
        let (seen, sent) = mirrored(&client, app, app.address(), &copies);
        assert_eq!(seen.ip(), sent.ip(), "the app sees its client");
        assert!(seen.port() == sent.port() || !kept, "{seen} for {sent}");
    }
    for app in [&own, &own6] {
        let (seen, sent) = mirrored(&client, app, app.address(), &copies);
        assert_eq!(seen.ip(), sent.ip(), "an app on one address sees its client");
    }
    mirrored(&app, &inside, inside.address(), &copies);
    println!("client's port {}", if kept { "kept" } else { "may differ" });

    // An exempt source is not captured, and neither is a port without rules.
    let copied = copies.count();
    assert_eq!(exempt.get(everywhere.address(), "/").status, 200);
    let unruled = upstream(&app).start();
    assert_eq!(client.get(unruled.address(), "/").status, 200);
    assert_eq!(copies.count(), copied);
    let verdicts = |verdict: &str| {
        agent.metrics().sum(&format!("umbra_capture_verdicts_total{{verdict=\"{verdict}\"}}"))
    };
    assert!(verdicts("assigned") >= 5.0 && verdicts("exempt") >= 1.0 && verdicts("not_captured") >= 1.0);
    agent.accounting_is_exact();

    agent.kill();
    for app in [&everywhere, &everywhere6, &own, &own6] {
        assert_eq!(client.get(app.address(), "/alone").status, 200, "{}", app.address());
    }
    assert_eq!(copies.count(), copied, "nobody is there to copy");
}

#[test]
fn long_bodies_arrive_whole() {
    let node = Node::new();
    let (app, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
    let mut body = vec![0; 32 << 20];
    fastrand::Rng::with_seed(5).fill(&mut body);
    let (primary, copies) = (upstream(&app).replies(body.clone()).start(), upstream(&shadow).start());
    let config = Config::capture(&app.netns().path(), primary.address()).mirror(copies.address(), 100.0);
    let agent = agent(&node).config(&config).start();

    for _ in 0..3 {
        assert!(client.get(primary.address(), "/long").body == body);
    }

    copies.eventually_received(3);
    agent.eventually("umbra_shadow_outcomes_total{outcome=\"completed\"}", 3);
    agent.accounting_is_exact();
}

#[test]
fn an_app_may_see_the_agents_address_instead() {
    let node = Node::new();
    let (app, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
    let (primary, copies) = (upstream(&app).start(), upstream(&shadow).start());
    let config = Config::capture(&app.netns().path(), primary.address())
        .mirror(copies.address(), 100.0)
        .agent("    clientAddress: local");
    let agent = agent(&node).config(&config).start();

    let (seen, _) = mirrored(&client, &primary, primary.address(), &copies);

    assert_eq!(seen.ip().to_canonical(), AGENT);
    agent.accounting_is_exact();
    assert!(agent.stop().success());
}

/// Of the running kernel: 6.12.
fn release() -> (u32, u32) {
    let name = uname().unwrap();
    let release = name.release().to_str().unwrap();
    let mut numbers = release.split(['.', '-', '+']).map_while(|number| number.parse().ok());
    (numbers.next().unwrap(), numbers.next().unwrap())
}
