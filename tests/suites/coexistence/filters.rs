//! Packet filters as network policies make them, and `rp_filter`.

use std::{fs, net::SocketAddr};

use socket2::{Domain, Socket, Type};
use support::{Netns, Pod, eventually};

use crate::place::{PORT, Place, nft};

#[test]
fn with_any_rp_filter_clients_are_mirrored_with_their_addresses() {
    for strictness in ["1", "2"] {
        for place in [Place::new(), Place::bound()] {
            place.app.netns().run(|| {
                for device in ["all", "default", "eth0", "lo"] {
                    fs::write(format!("/proc/sys/net/ipv4/conf/{device}/rp_filter"), strictness).unwrap();
                }
            });
            let agent = place.agent();
            assert_eq!(place.mirrored(place.addresses()[0]), place.client.ip(), "rp_filter {strictness}");
            agent.accounting_is_exact();
        }
    }
}

/// What a filter counts by this name.
fn counted(netns: &Netns, counter: &str) -> u64 {
    let output = netns.command("nft").args(["list", "counter", "inet", "guard", counter]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split_whitespace().skip_while(|word| *word != "packets").nth(1).unwrap().parse().unwrap()
}

/// Lets these clients in, and nobody else.
fn policy(allowed: &Pod, loopback: &str) -> String {
    format!(
        "table inet guard {{
           counter denied {{}}
           chain input {{
             type filter hook input priority filter; policy drop;
             ct state established,related accept
             {loopback}
             meta l4proto {{ icmp, ipv6-icmp }} accept
             ip saddr {} tcp dport {PORT} accept
             ip6 saddr {} tcp dport {PORT} accept
             tcp dport {PORT} counter name denied drop
           }}
         }}",
        allowed.ip(),
        allowed.ip6()
    )
}

#[test]
fn whom_a_network_policy_denies_stays_denied_and_whom_it_allows_is_mirrored() {
    // Policies for pods let loopback through, and those that do not ask who connects to the app: the agent does so as the client.
    for loopback in ["iif lo accept", ""] {
        let place = Place::new();
        let stranger = place.node.pod("stranger");
        let netns = place.app.netns();
        nft(netns, &policy(&place.client, loopback));
        assert_eq!(place.answers(place.addresses()[0]), "app");
        let agent = place.agent();

        for at in place.addresses() {
            place.mirrored(at);
            let (denied, seen) = (counted(netns, "denied"), place.primary.count());
            let socket = dialling(stranger.netns(), at);
            eventually("the policy to deny it", || (counted(netns, "denied") > denied).then_some(()));
            assert!(socket.peer_addr().is_err(), "a denied client is connected to {at}");
            assert_eq!(place.primary.count(), seen);
        }
        let assigned = agent.metrics().sum("umbra_capture_verdicts_total{verdict=\"assigned\"}");
        assert!((assigned - 2.0).abs() < 0.5, "{assigned} connections, of two allowed ones");
        agent.accounting_is_exact();
    }
}

fn dialling(from: &Netns, at: SocketAddr) -> Socket {
    from.run(|| {
        let socket = Socket::new(Domain::for_address(at), Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        let _ = socket.connect(&at.into());
        socket
    })
}
