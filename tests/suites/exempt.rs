//! What comes from the node itself is left alone where that is asked for: the hit and the miss, read from the kernel's
//! counters and from what was copied.

#![allow(clippy::unwrap_used, reason = "a suite fails where it stands")]

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{IpAddr, SocketAddr},
};

use socket2::{Domain, Socket, Type};
use support::{Agent, Client, Config, Netns, Node, agent, eventually, patience, upstream};

fn exempt(agent: &Agent) -> f64 {
    agent.metrics().sum("umbra_capture_verdicts_total{verdict=\"exempt\"}")
}

/// One request from this address of the namespace.
fn ask_from(netns: &Netns, from: IpAddr, app: SocketAddr) {
    let socket = netns.run(|| {
        let socket = Socket::new(Domain::for_address(app), Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(from, 0).into()).unwrap();
        socket.connect(&app.into()).unwrap();
        socket
    });
    socket.set_read_timeout(Some(patience())).unwrap();
    let mut stream = std::net::TcpStream::from(socket);
    stream.write_all(b"GET /node HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{answer:?}");
}

#[test]
fn the_node_itself_is_exempt_and_its_pods_are_not() {
    let node = Node::new();
    let (app, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
    let (primary, copies) = (upstream(&app).replies("ok").start(), upstream(&shadow).replies("ok").start());
    let primary6 = support::UpstreamBuilder::new(app.netns(), app.ip6()).replies("ok").start();
    let config = Config::capture(&app.netns().path(), primary.address())
        .also(primary6.address())
        .mirror(copies.address(), 100.0);
    let by_default = agent(&node).config(&config).start();
    Client::new(node.netns(), primary.address()).get("/by-default");
    copies.eventually_received(1);
    assert!(by_default.stop().success());

    let agent = agent(&node).config(&config.agent("    exemptNode: true")).start();
    for app in [primary.address(), primary6.address()] {
        Client::new(node.netns(), app).get("/probe");
        client.get(app, "/client");
    }

    assert!((exempt(&agent) - 2.0).abs() < 0.5, "{}", exempt(&agent));
    let copied = copies.eventually_received(3);
    assert!(copied.iter().all(|copy| copy.target != "/probe"), "{copied:?}");
    // The app's own namespace is not the node, whatever it calls itself from.
    app.get((std::net::Ipv4Addr::LOCALHOST, primary.port()).into(), "/own");
    assert!((exempt(&agent) - 2.0).abs() < 0.5);
}

#[test]
fn an_address_the_node_gets_later_is_exempt_too_until_a_reload_says_otherwise() {
    let node = Node::new();
    let (app, shadow) = (node.pod("app"), node.pod("shadow"));
    let (primary, copies) = (upstream(&app).replies("ok").start(), upstream(&shadow).replies("ok").start());
    let config = Config::capture(&app.netns().path(), primary.address()).mirror(copies.address(), 100.0);
    let agent = agent(&node).config(&config.clone().agent("    exemptNode: true")).start();
    let late: IpAddr = [10, 98, 254, 1].into();
    node.netns().ip(&format!("address add {late}/32 dev lo"));

    eventually("an exempt connection from the new address", || {
        let before = exempt(&agent);
        ask_from(node.netns(), late, primary.address());
        (exempt(&agent) > before).then_some(())
    });

    fs::write(agent.config_path(), config.to_yaml(agent.admin())).unwrap();
    let copied = copies.count();
    eventually("a copy of what the node asks", || {
        ask_from(node.netns(), late, primary.address());
        (copies.count() > copied).then_some(())
    });
    assert!(!agent.log().contains("started again"), "{}", agent.log());
}
