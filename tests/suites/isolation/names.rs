//! Shadows known by a name that does not resolve, each for its own reason.

use std::{any::Any, net::IpAddr};

use support::{Node, Pod};
use tokio::{net::UdpSocket, runtime::Runtime};

use crate::trial::{Ends, Setting, trial};

#[test]
fn a_shadow_whose_name_server_refuses() {
    // Nobody listens there: every question is refused.
    named("name server refuses", |_, _| ("127.0.0.1".parse().unwrap(), Box::new(())));
}

#[test]
fn a_shadow_whose_name_server_never_answers() {
    named("name server silent", |node, pod| (node.black_hole(pod).ip(), Box::new(())));
}

#[test]
fn a_shadow_whose_name_does_not_exist() {
    named("name does not exist", |_, pod| (pod.ip(), Box::new(says(pod, 3))));
}

#[test]
fn a_shadow_whose_name_server_fails() {
    named("name server fails", |_, pod| (pod.ip(), Box::new(says(pod, 2))));
}

/// With only this name server to ask.
fn named(kind: &str, server: impl FnOnce(&Node, &Pod) -> (IpAddr, Box<dyn Any>)) {
    trial(kind, Ends::As("outcome=\"failed\",reason=\"dns\""), |node, pod| {
        let (server, running) = server(node, pod);
        let prelude = format!(
            "mount -t tmpfs tmpfs /mnt\necho nameserver {server} >/mnt/resolv.conf\n\
             mount --bind /mnt/resolv.conf /etc/resolv.conf"
        );
        let shadow = "10.98.200.1:9".parse().unwrap();
        Setting { name: Some("shadow.nowhere.test"), prelude, ..Setting::new(shadow, running) }
    });
}

/// A name server that answers every question with this code (RFC 1035 §4.1.1). Ends with its runtime.
fn says(pod: &Pod, code: u8) -> Runtime {
    let address = (pod.ip(), 53);
    let socket = pod.netns().run(|| std::net::UdpSocket::bind(address).unwrap());
    socket.set_nonblocking(true).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.spawn(async move {
        let socket = UdpSocket::from_std(socket).unwrap();
        let mut message = [0; 512];
        while let Ok((length, asker)) = socket.recv_from(&mut message).await {
            // The question again, as a response; recursion was desired and is available.
            (message[2], message[3]) = (0x81, 0x80 | code);
            let _ = socket.send_to(&message[..length], asker).await;
        }
    });
    runtime
}
