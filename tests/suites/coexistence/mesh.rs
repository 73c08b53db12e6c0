//! A pod whose connections Istio's init container has redirected to a sidecar.

use std::{
    io,
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    thread,
};

use socket2::SockRef;

use crate::place::{PORT, Place, nft, standing};

/// As `istio-iptables` lays them, but for the sidecar's own connections: here they are known by where they go.
const REDIRECT: &str = "
table ip nat {
  chain prerouting { type nat hook prerouting priority dstnat; tcp dport != { 15006, 22 } redirect to :15006; }
  chain output {
    type nat hook output priority -100;
    ip daddr 127.0.0.1/32 return
    tcp dport != 53 redirect to :15001
  }
}";

/// Passes everything on to the app.
fn sidecar(listener: &TcpListener) {
    let copy = |mut from: TcpStream, mut to: TcpStream| {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    };
    while let Ok((client, _)) = listener.accept() {
        let Ok(app) = TcpStream::connect((Ipv4Addr::LOCALHOST, PORT)) else { return };
        let (client_too, app_too) = (client.try_clone().unwrap(), app.try_clone().unwrap());
        thread::spawn(move || copy(client, app));
        thread::spawn(move || copy(app_too, client_too));
    }
}

#[test]
fn a_redirected_pod_is_left_to_its_mesh_and_the_agent_says_so() {
    let place = Place::new();
    let netns = place.app.netns();
    nft(netns, REDIRECT);
    let _outbound = netns.listen((Ipv4Addr::UNSPECIFIED, 15001).into());
    let inbound = netns.listen((Ipv4Addr::UNSPECIFIED, 15006).into());
    let accepting = inbound.try_clone().unwrap();
    let inside = netns.clone();
    let running = thread::spawn(move || inside.run(|| sidecar(&accepting)));
    let (at, before) = (place.addresses()[0], netns.traces());
    assert_eq!(place.answers(at), "app");
    let through_the_mesh = place.primary.received()[0].peer.ip();
    assert!(through_the_mesh.is_loopback());

    let agent = place.agent();

    let why = standing(&agent)["why"].to_string();
    assert!(why.contains("Istio (15001 and 15006) redirects its connections"), "{why}");
    assert_eq!(place.answers(at), "app");
    assert_eq!(place.primary.received()[1].peer.ip(), through_the_mesh);
    assert_eq!((place.copies.count(), netns.traces()), (0, before));
    let _ = SockRef::from(&inbound).shutdown(Shutdown::Both);
    running.join().unwrap();
}
