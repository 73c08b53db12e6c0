//! A namespace is left as it was found.

use super::{
    agent::{Agent, options},
    pod::{APP_V4, Namespace, Pod, closing},
};
use crate::{
    capture::{EnrolError, Enrolment, Options},
    config::umbra::ClientAddress,
};

const SYSCTLS: [&str; 3] =
    ["net/ipv4/tcp_fwmark_accept", "net/ipv4/fwmark_reflect", "net/ipv6/fwmark_reflect"];

/// Rules, routes of every table and settings.
fn snapshot(namespace: &Namespace) -> Vec<String> {
    let ip = |family, what: &[&str]| namespace.ip(&[&[family], what].concat());
    let mut snapshot: Vec<_> = ["-4", "-6"]
        .into_iter()
        .flat_map(|family| [ip(family, &["rule"]), ip(family, &["route", "show", "table", "all"])])
        .collect();
    snapshot.extend(SYSCTLS.map(|name| sysctl(namespace, name)));
    snapshot
}

fn sysctl(namespace: &Namespace, name: &str) -> String {
    namespace.inside(|| std::fs::read_to_string(format!("/proc/sys/{name}"))).unwrap()
}

#[test]
fn withdrawing_restores_rules_routes_and_settings() {
    for client_address in [ClientAddress::Auto, ClientAddress::Keep, ClientAddress::Local] {
        let node = Pod::new();
        // One setting is on already, by somebody else's wish.
        node.pod.sysctl(SYSCTLS[1], "1");
        let before = snapshot(&node.pod);

        let options = Options { client_address, ..options() };
        let (enrolment, _listeners) = Enrolment::enrol(&node.pod.reference(), &options).unwrap();
        assert_eq!(enrolment.notes(), [""; 0]);
        assert_ne!(snapshot(&node.pod), before);
        enrolment.withdraw().unwrap();
        assert_eq!(snapshot(&node.pod), before);
        enrolment.withdraw().unwrap();
        drop(enrolment);

        assert_eq!(snapshot(&node.pod), before);
    }
}

#[test]
fn the_last_of_two_agents_cleans_up() {
    let node = Pod::new();
    let app = node.pod.app("0.0.0.0");
    let before = snapshot(&node.pod);
    let older = Agent::on(&node.pod, app.port());
    let newer = Agent::on(&node.pod, app.port());
    let enrolled = snapshot(&node.pod);

    drop(newer);
    assert_eq!(snapshot(&node.pod), enrolled);
    drop(older);
    assert_eq!(snapshot(&node.pod), before);
}

#[test]
fn what_a_killed_agent_left_is_taken_over_and_removed() {
    let node = Pod::new();
    let app = node.pod.app("0.0.0.0");
    let before = snapshot(&node.pod);
    let killed = Agent::on(&node.pod, app.port());
    let left = node.pod.ip(&["rule"]);
    closing(|| killed.enrolment.lose_link());
    drop(killed);
    assert_eq!(node.pod.ip(&["rule"]), left);

    let agent = Agent::on(&node.pod, app.port());
    let seen = node.client.call(app.at(APP_V4)).unwrap();
    assert_eq!(seen.app_peer, seen.client);
    drop(agent);

    let after = snapshot(&node.pod);
    // Settings a killed agent switched on stay on: nobody knows that they were off.
    assert_eq!(after[..4], before[..4]);
}

#[test]
fn somebody_elses_rule_for_the_mark_is_respected() {
    let node = Pod::new();
    let app = node.pod.app("0.0.0.0");
    node.pod.ip(&["rule", "add", "fwmark", "0x4d/0xff", "lookup", "main", "priority", "50"]);
    let before = snapshot(&node.pod);

    let Err(error) = Enrolment::enrol(&node.pod.reference(), &options()) else { panic!("kept") };
    assert!(matches!(error, EnrolError::Keep { .. }), "{error}");
    assert_eq!(snapshot(&node.pod), before);

    let auto = Options { client_address: ClientAddress::Auto, ..options() };
    let agent = Agent::with(&node.pod, &auto, &[(None, app.port())]);
    assert!(
        agent.enrolment.notes().iter().any(|note| note.contains("rule 50")),
        "{:?}",
        agent.enrolment.notes()
    );
    assert!(!node.client.call(app.at(APP_V4)).unwrap().is_direct());
}

#[test]
fn without_ipv6_ipv4_is_captured() {
    let node = Pod::new();
    node.pod.sysctl("net/ipv6/conf/all/disable_ipv6", "1");
    let app = node.pod.app("0.0.0.0");
    let before = snapshot(&node.pod);
    let agent = Agent::on(&node.pod, app.port());

    assert!(agent.enrolment.notes().iter().any(|note| note.contains("IPv6")));
    let seen = node.client.call(app.at(APP_V4)).unwrap();
    assert_eq!((seen.app_peer, seen.is_direct()), (seen.client, false));

    drop(agent);
    assert_eq!(snapshot(&node.pod), before);
}

#[test]
fn a_namespace_that_is_not_there_is_named() {
    let missing = crate::config::umbra::NetnsRef::Path("/run/netns/umbra-missing".into());
    let Err(error) = Enrolment::enrol(&missing, &options()) else { panic!("enrolled") };
    assert!(error.to_string().contains("/run/netns/umbra-missing"), "{error}");
}

#[test]
fn local_addresses_are_those_of_the_namespace() {
    let node = Pod::new();
    let (enrolment, _listeners) = Enrolment::enrol(&node.pod.reference(), &options()).unwrap();
    let addresses = enrolment.local_addresses().unwrap();
    for address in ["127.0.0.1", "::1", APP_V4, super::pod::APP_V6] {
        assert!(addresses.contains(&address.parse().unwrap()), "{address} in {addresses:?}");
    }
}
