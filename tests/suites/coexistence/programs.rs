//! Another user of `sk_lookup` in the same namespace, there before the agent or after it.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener},
    thread,
};

use socket2::SockRef;
use support::{Config, Netns, agent};

use crate::{
    foreign::Foreign,
    place::{PORT, Place, eventually_says},
};

/// What the foreign program leads to: it greets whoever comes.
struct Service {
    listener: TcpListener,
}

impl Service {
    fn start(netns: &Netns) -> Self {
        let listener = netns.listen((Ipv4Addr::LOCALHOST, 0).into());
        let accepting = listener.try_clone().unwrap();
        thread::spawn(move || {
            while let Ok((mut stream, _)) = accepting.accept() {
                let _ = stream.read(&mut [0; 4096]);
                let answer = "HTTP/1.1 200 OK\r\nx-served-by: foreign\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        Self { listener }
    }

    fn steered(&self, netns: &Netns, at: SocketAddr) -> Foreign {
        Foreign::steering(netns, at, &self.listener)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = SockRef::from(&self.listener).shutdown(Shutdown::Both);
    }
}

const ANYWHERE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

#[test]
fn a_program_for_another_port_is_not_disturbed_and_does_not_disturb() {
    for before in [true, false] {
        let place = Place::new();
        let netns = place.app.netns();
        let service = Service::start(netns);
        let elsewhere = SocketAddr::new(place.app.ip(), 9090);
        let steer = || service.steered(netns, (ANYWHERE, 9090).into());
        let first = before.then(steer);
        let agent = place.agent();
        let _foreign = first.unwrap_or_else(steer);

        for _ in 0..3 {
            assert_eq!(place.answers(elsewhere), "foreign", "before: {before}");
            for at in place.addresses() {
                place.mirrored(at);
            }
        }
        assert!(agent.stop().success());
        assert_eq!(place.answers(elsewhere), "foreign", "before: {before}");
        assert_eq!(place.answers(place.addresses()[0]), "app");
    }
}

#[test]
fn a_program_that_had_the_captured_port_keeps_it_and_the_agent_says_so() {
    let place = Place::new();
    let service = Service::start(place.app.netns());
    let _foreign = service.steered(place.app.netns(), (ANYWHERE, PORT).into());
    let agent = place.agent();

    assert_eq!(place.answers(place.addresses()[0]), "foreign");
    eventually_says(&agent, "taken");
    assert_eq!(place.copies.count(), 0);
}

#[test]
fn a_program_that_comes_later_for_the_captured_port_is_what_the_agent_leads_to() {
    for at in [ANYWHERE, IpAddr::from([10, 98, 1, 2])] {
        let place = Place::new();
        assert_eq!(place.app.ip(), IpAddr::from([10, 98, 1, 2]));
        let agent = place.agent();
        let service = Service::start(place.app.netns());
        let _foreign = service.steered(place.app.netns(), (at, PORT).into());

        for asked in 1..=5 {
            let answers = place.answers(place.addresses()[0]);
            place.copies.eventually_received(asked);
            // The program steers what is for the pod's address, the agent comes to its own: as without that program.
            let expected = if at == ANYWHERE { "foreign" } else { "app" };
            assert_eq!(answers, expected, "{at}");
        }
        drop(agent);
    }
}

#[test]
fn an_app_that_is_there_by_a_program_only_is_mirrored_too() {
    let place = Place::new();
    let Place { app, primary, copies, .. } = &place;
    let at = SocketAddr::new(app.ip(), 8081);
    let config = Config::capture(&app.netns().path(), at).mirror(copies.address(), 100.0);
    let agent = agent(&place.node).config(&config).start();
    let service = Service::start(app.netns());
    let _foreign = service.steered(app.netns(), at);

    for asked in 1..=5 {
        assert_eq!(place.answers(at), "foreign");
        copies.eventually_received(asked);
    }
    assert_eq!(primary.count(), 0);
    drop(agent);
}
