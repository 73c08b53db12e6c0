//! Marks and routing rules of others, around the agent's own.

use std::{
    fs,
    io::ErrorKind,
    net::{IpAddr, SocketAddr},
};

use socket2::{Domain, Socket, Type};
use support::{Agent, Link, Netns, Subnet};

use crate::place::{PORT, Place, nft, standing};

/// Rules for both families.
fn rules(netns: &Netns, rules: &[&str]) {
    for rule in rules {
        netns.ip(&format!("rule {rule}"));
        netns.ip(&format!("-6 rule {rule}"));
    }
}

/// How a connection from here fares whose packets carry the mark.
fn marked(from: &Netns, mark: u32, to: SocketAddr) -> Result<(), ErrorKind> {
    from.run(|| {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).unwrap();
        socket.set_mark(mark).unwrap();
        socket.connect(&to.into()).map_err(|error| error.kind())
    })
}

/// The namespace says why apps there do not see their clients' addresses.
fn says_why(agent: &Agent, why: &str) {
    let standing = standing(agent);
    let notes = standing["notes"].to_string();
    assert_eq!(standing["clientAddress"], "local", "{standing:#}");
    assert!(notes.contains(why), "{notes}");
}

/// A rule of AWS's CNI, and one by which somebody keeps marked packets from leaving.
const MARKS: [&str; 2] =
    ["add fwmark 0x80/0x80 lookup main priority 1024", "add fwmark 0x4000/0x4000 lookup 200 priority 1025"];

#[test]
fn rules_for_other_marks_hold_on_and_are_left_as_they_were() {
    for before in [true, false] {
        let place = Place::new();
        let netns = place.app.netns();
        for family in ["", "-6 "] {
            netns.ip(&format!("{family}route add prohibit default table 200"));
        }
        let added = || rules(netns, &MARKS);
        let other = place.client.netns().listen((place.client.ip(), 0).into());
        let to = other.local_addr().unwrap();
        if before {
            added();
        }
        let clean = netns.traces();
        let agent = place.agent();
        if !before {
            added();
        }

        for at in place.addresses() {
            place.mirrored(at);
        }
        assert_eq!(marked(netns, 0, to), Ok(()));
        assert_eq!(marked(netns, 0x80, to), Ok(()));
        assert_eq!(marked(netns, 0x4000, to), Err(ErrorKind::PermissionDenied));
        assert!(agent.stop().success());
        assert_eq!(marked(netns, 0x4000, to), Err(ErrorKind::PermissionDenied));
        if !before {
            rules(netns, &MARKS.map(|rule| rule.replacen("add", "del", 1)).each_ref().map(String::as_str));
        }
        assert_eq!(netns.traces(), clean);
    }
}

#[test]
fn marks_that_packets_bring_along_lead_no_answer_astray() {
    let place = Place::new();
    let netns = place.app.netns();
    // As Cilium marks what is for its proxy, and routes it there.
    nft(
        netns,
        "table inet marks {
           chain prerouting {
             type filter hook prerouting priority mangle;
             iif eth0 tcp dport { 8080, 9090 } meta mark set 0x200
           }
         }",
    );
    rules(netns, &["add fwmark 0x200/0xf00 lookup 2004 priority 9"]);
    for family in ["", "-6 "] {
        netns.ip(&format!("{family}route add local default dev lo table 2004"));
    }
    let other = support::upstream(&place.app).port(9090).named("other").start();
    let clean = netns.traces();
    let [v4, v6] = place.addresses();
    assert_eq!((place.answers(v4), place.answers(v6)), ("app".to_owned(), "app".to_owned()));

    let agent = place.agent();

    assert_eq!(place.answers(other.address()), "other", "a port that is not captured");
    for at in [v4, v6] {
        place.mirrored(at);
    }
    says_why(&agent, "fwmark 0x200/0xf00");
    assert!(agent.stop().success());
    assert_eq!(netns.traces(), clean);
}

#[test]
fn rules_that_come_later_or_go_are_noticed() {
    let place = Place::new();
    let (netns, at) = (place.app.netns(), place.addresses()[0]);
    let clean = netns.traces();
    let agent = place.agent();
    let tells = |address: &str| {
        support::eventually(&format!("{address} in the status"), || {
            (standing(&agent)["clientAddress"] == address).then_some(())
        });
    };
    let accepting = || netns.run(|| fs::read_to_string("/proc/sys/net/ipv4/tcp_fwmark_accept").unwrap());
    assert_eq!(place.mirrored(at), place.client.ip());
    let mut open = place.client.connect(at);

    for (rule, address) in
        [("fwmark 0x200/0xf00 lookup 2004 priority 9", "local"), ("lookup 100 priority 60", "kept over IPv6")]
    {
        netns.ip(&format!("rule add {rule}"));
        tells(address);
        assert_ne!(place.mirrored(at), place.client.ip());
        assert_eq!(accepting().trim() == "1", address != "local");
        netns.ip(&format!("rule del {rule}"));
        tells("kept");
        assert_eq!(place.mirrored(at), place.client.ip());
    }
    open.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(open.reply().status, 200, "a connection that was open all the time");
    drop(open);
    assert!(agent.stop().success());
    assert_eq!(netns.traces(), clean);
}

/// A second device, as hosts with several networks have: what comes by it is answered by it.
fn second_network(place: &Place) -> (Link, [IpAddr; 2]) {
    let (netns, subnet) = (place.app.netns(), Subnet(200));
    let link = Link::new(place.node.netns(), netns, "eth1", subnet);
    for (family, device, ip, gateway, table) in [
        ("", "eth0", place.app.ip(), Subnet(1).v4(1), 100),
        ("-6", "eth0", place.app.ip6(), Subnet(1).v6(1), 100),
        ("", "eth1", subnet.v4(2), subnet.v4(1), 200),
        ("-6", "eth1", subnet.v6(2), subnet.v6(1), 200),
    ] {
        netns.ip(&format!("{family} route add default via {gateway} dev {device} table {table}"));
        netns.ip(&format!("{family} rule add from {ip} lookup {table} priority {table}"));
    }
    (link, [subnet.v4(2), subnet.v6(2)])
}

#[test]
fn with_several_networks_clients_of_each_are_mirrored() {
    for (place, all) in [(Place::new(), true), (Place::bound(), false)] {
        let netns = place.app.netns();
        let (_link, second) = second_network(&place);
        let clean = netns.traces();
        let agent = place.agent();
        let everywhere = place.addresses().into_iter().chain(second.map(|ip| (ip, PORT).into()));
        for at in everywhere.take(if all { 4 } else { 1 }) {
            let client = if at.is_ipv4() { place.client.ip() } else { place.client.ip6() };
            assert_eq!(place.mirrored(at), client, "{at}");
        }
        assert!(agent.stop().success());
        assert_eq!(netns.traces(), clean);
    }
}

#[test]
fn where_other_rules_come_first_apps_are_reached_from_a_local_address_and_the_agent_says_why() {
    let first = [
        // Of one network of several.
        "add from 10.98.1.2 lookup 100 priority 50",
        // Of a tunnel for everything.
        "add lookup 100 priority 60",
    ];
    for rule in first {
        for place in [Place::bound(), Place::new()] {
            let netns = place.app.netns();
            netns.ip("route add default via 10.98.1.1 dev eth0 table 100");
            netns.ip(&format!("rule {rule}"));
            let clean = netns.traces();
            let at = place.addresses()[0];
            assert_eq!(place.answers(at), "app", "{rule}");

            let agent = place.agent();

            for _ in 0..3 {
                place.mirrored(at);
            }
            let notes = standing(&agent)["notes"].to_string();
            let priority = rule.split(' ').next_back().unwrap();
            assert!(notes.contains(&format!("rule {priority}")), "{rule}: {notes}");
            assert!(agent.stop().success());
            assert_eq!(netns.traces(), clean);
        }
    }
}
