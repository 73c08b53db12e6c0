//! A namespace is left as it was found.

use aya::{
    maps::loaded_maps,
    programs::{ProgramInfo, loaded_programs},
};

use super::{
    agent::{Agent, options, whole},
    pod::{APP_V4, Namespace, Pod, closing, eventually},
};
use crate::{
    capture::{EnrolError, Enrolment, Options, query},
    config::umbra::ClientAddress,
    route::Share,
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

    assert_eq!(snapshot(&node.pod), before);
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
fn nothing_of_the_program_stays_in_the_kernel() {
    let node = Pod::new();
    let (enrolment, _listeners) = Enrolment::enrol(&node.pod.reference(), &options()).unwrap();
    let program = query::attached(&enrolment.netns).unwrap();
    let of_it = |loaded: &ProgramInfo| program.contains(&loaded.id());
    let info = loaded_programs().filter_map(Result::ok).find(of_it).unwrap();
    let maps = info.map_ids().unwrap().unwrap();
    let left = || loaded_maps().filter_map(Result::ok).filter(|map| maps.contains(&map.id())).count();
    assert!((program.len(), left()) == (1, maps.len()) && left() >= 7, "{maps:?}");

    enrolment.withdraw().unwrap();
    assert!(query::attached(&enrolment.netns).unwrap().is_empty());
    drop(enrolment);

    eventually("every map to be freed", || left() == 0);
    eventually("the program to be freed", || {
        !loaded_programs().filter_map(Result::ok).any(|info| of_it(&info))
    });
}

#[test]
fn an_agent_that_keeps_no_addresses_still_removes_what_a_killed_one_left() {
    let node = Pod::new();
    let before = snapshot(&node.pod);
    let (killed, _listeners) = Enrolment::enrol(&node.pod.reference(), &options()).unwrap();
    killed.lose_link();
    drop(killed);
    assert_ne!(snapshot(&node.pod), before);

    let local = Options { client_address: ClientAddress::Local, ..options() };
    let (enrolment, _listeners) = Enrolment::enrol(&node.pod.reference(), &local).unwrap();
    enrolment.withdraw().unwrap();

    assert_eq!(snapshot(&node.pod), before);
}

#[test]
fn of_more_endpoints_than_the_program_holds_the_first_are_captured() {
    let node = Pod::new();
    let (enrolment, _listeners) = Enrolment::enrol(&node.pod.reference(), &options()).unwrap();
    let ports = |address: &str, ports: std::ops::Range<u16>| {
        let address = Some(address.parse().unwrap());
        ports.map(move |port| ((address, port), Share::ALL))
    };
    let elsewhere = ports("10.99.0.1", 1..60_000);

    let endpoints = elsewhere.clone().chain(ports(APP_V4, 1..1025)).collect();
    enrolment.capture(&endpoints).unwrap();
    assert_eq!((enrolment.ports().0, enrolment.notes().len()), (1024, 0), "as many as there is room for");

    let endpoints = elsewhere.chain(ports(APP_V4, 1..1101)).collect();
    let error = enrolment.capture(&endpoints).unwrap_err().to_string();
    assert!(error.starts_with("1100 mirrored endpoints are local here"), "{error}");
    assert_eq!((enrolment.ports().0, enrolment.notes()), (1024, vec![error]));

    enrolment.capture(&ports(APP_V4, 1..3).collect()).unwrap();
    assert_eq!((enrolment.ports().0, enrolment.notes().len()), (2, 0));
}

#[test]
fn an_address_that_comes_later_is_noticed() {
    let node = Pod::new();
    let app = node.pod.app("0.0.0.0");
    let agent = Agent::with(&node.pod, &options(), &[(Some("10.77.0.3".parse().unwrap()), app.port())]);
    assert_eq!(agent.enrolment.ports().0, 0);

    node.pod.ip(&["address", "add", "10.77.0.3/24", "dev", "eth0"]);

    eventually("the change", || agent.enrolment.has_new_addresses().unwrap());
    agent.enrolment.capture(&whole(&[(Some("10.77.0.3".parse().unwrap()), app.port())])).unwrap();
    assert!(!node.client.call(app.at("10.77.0.3")).unwrap().is_direct());
}

#[test]
fn local_addresses_are_those_of_the_namespace() {
    let node = Pod::new();
    let (enrolment, _listeners) = Enrolment::enrol(&node.pod.reference(), &options()).unwrap();
    let addresses = enrolment.local_addresses();
    for address in ["127.0.0.1", "::1", APP_V4, super::pod::APP_V6] {
        assert!(addresses.contains(&address.parse().unwrap()), "{address} in {addresses:?}");
    }
}
