//! What the app sees of the client, and which way the connection to it goes.

use std::{io, net::SocketAddr};

use umbra_common::{RESERVED_V4, RESERVED_V6};

use super::{
    agent::{Agent, options},
    pod::{APP_V4, APP_V6, CLIENT_V4, Pod, Seen},
};
use crate::{
    capture::{Options, Verdict},
    config::umbra::ClientAddress,
};

#[test]
fn an_app_on_every_address_sees_its_client_over_ipv4() {
    let node = Pod::new();
    let app = node.pod.app("0.0.0.0");
    let agent = Agent::on(&node.pod, app.port());

    let seen = node.client.call(app.at(APP_V4)).unwrap();

    assert_eq!(seen.app_peer, seen.client);
    assert_eq!(seen.app_local.ip(), RESERVED_V4);
    assert_eq!(agent.count(Verdict::Assigned), 1);
    assert_eq!(agent.count(Verdict::Reserved), 1);
}
