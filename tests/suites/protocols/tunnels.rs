//! WebSocket and other changes of protocol, and CONNECT: what comes after is no HTTP, and passes untouched.

use std::io::{Read as _, Write as _};

use support::{Config, Upstream, upstream};

use crate::World;

const HANDSHAKE: &str = "GET /chat?room=1 HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
/// Could be taken for another request.
const FRAMES: &str = "\u{1}GET /frame HTTP/1.1\r\nHost: shop\r\n\r\n";

/// Takes one request, says this, and from then on sends back what comes.
fn app(world: &World, answer: &'static str) -> Upstream {
    let conversation = move |mut connection: support::Recorder| {
        connection.read_until(b"\r\n\r\n");
        connection.write_all(answer.as_bytes()).unwrap();
        let mut buffer = [0; 1024];
        while let Ok(read @ 1..) = connection.read(&mut buffer) {
            connection.write_all(&buffer[..read]).unwrap();
        }
    };
    upstream(&world.app).speaks(conversation).start()
}

/// The client's bytes after the handshake come back, all of them.
fn talks(world: &World, app: &Upstream, request: &str, answer: &str) {
    let mut wire = world.client.connect(app.address());
    wire.send(request);
    assert_eq!(wire.read(answer.len()), answer.as_bytes());
    for _ in 0..100 {
        wire.send(FRAMES);
        assert_eq!(wire.read(FRAMES.len()), FRAMES.as_bytes());
    }
    wire.finish();
    assert_eq!(wire.read_to_end().unwrap(), b"");
    assert_eq!(app.transcripts().pop().unwrap(), [request, &FRAMES.repeat(100)].concat().as_bytes());
}

#[test]
fn a_websocket_is_relayed_and_its_handshake_not_copied() {
    let world = World::new();
    let (app, copies) = (app(&world, SWITCH), upstream(&world.shadow).start());
    let config = Config::capture(&world.app.netns().path(), app.address()).mirror(copies.address(), 100.0);
    let agent = world.agent(&config, |yaml| yaml);
    talks(&world, &app, HANDSHAKE, SWITCH);
    agent.eventually("umbra_shadow_outcomes_total{outcome=\"dropped\",reason=\"upgrade\"}", 1);
    agent.eventually("umbra_requests_total{matched=\"true\"}", 1);
    agent.eventually("umbra_unread_connections_total{reason=\"upgraded\"}", 1);
    assert_eq!(copies.count(), 0);
    agent.accounting_is_exact();
}

#[test]
fn the_handshake_of_a_websocket_is_copied_where_a_policy_wants_it() {
    let world = World::new();
    let (app, copies) = (app(&world, SWITCH), upstream(&world.shadow).start());
    let config = Config::capture(&world.app.netns().path(), app.address()).mirror(copies.address(), 100.0);
    let policy = "---\napiVersion: umbra.dev/v1alpha1\nkind: ShadowPolicy\nmetadata: {name: chats, namespace: default}\n\
                  spec: {targetRefs: [{kind: VirtualService, name: app}], upgrades: true}\n";
    let agent = world.agent(&config, |yaml| yaml + policy);
    talks(&world, &app, HANDSHAKE, SWITCH);
    let copy = &copies.eventually_received(1)[0];
    assert_eq!((copy.method.as_str(), &*copy.target), ("GET", "/chat?room=1"));
    assert_eq!((copy.header("upgrade"), copy.header("connection")), ("", ""));
    assert_eq!(copy.header("sec-websocket-version"), "13");
    agent.eventually("umbra_shadow_outcomes_total{outcome=\"completed\"}", 1);
    agent.eventually("umbra_requests_total", 1);
    agent.accounting_is_exact();
}

#[test]
fn a_tunnel_is_relayed_and_never_copied() {
    let world = World::new();
    let established = "HTTP/1.1 200 Connection Established\r\n\r\n";
    let (app, copies) = (app(&world, established), upstream(&world.shadow).start());
    let config = Config::capture(&world.app.netns().path(), app.address()).mirror(copies.address(), 100.0);
    let agent = world.agent(&config, |yaml| yaml);
    talks(&world, &app, "CONNECT shop:443 HTTP/1.1\r\nHost: shop:443\r\n\r\n", established);
    // It has no path that a rule could be for.
    agent.eventually("umbra_requests_total{matched=\"false\"}", 1);
    agent.eventually("umbra_unread_connections_total{reason=\"upgraded\"}", 1);
    assert_eq!(copies.count(), 0);
    agent.accounting_is_exact();
}

/// Extended CONNECT (RFC 8441) opens a tunnel on one stream; the next stream is a request.
#[test]
fn a_tunnel_on_a_stream_is_counted_and_never_copied() {
    let world = World::new();
    let frame = |kind: u8, flags: u8, stream: u8, payload: &[u8]| {
        [&[0, 0, u8::try_from(payload.len()).unwrap(), kind, flags, 0, 0, 0, stream], payload].concat()
    };
    let field = |name: &str, value: &str| {
        let length = |text: &str| u8::try_from(text.len()).unwrap();
        [&[0, length(name)], name.as_bytes(), &[length(value)], value.as_bytes()].concat()
    };
    let connect =
        [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", "/chat")]
            .map(|(name, value)| field(name, value))
            .concat();
    let connect = [connect, field(":authority", "shop")].concat();
    let app =
        upstream(&world.app).speaks(|mut connection| assert!(!connection.read_until(b"the end"))).start();
    let copies = upstream(&world.shadow).start();
    let config = Config::capture(&world.app.netns().path(), app.address()).mirror(copies.address(), 100.0);
    let agent = world.agent(&config, |yaml| yaml);

    let mut wire = world.client.connect(app.address());
    wire.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").send(frame(4, 0, 0, &[]));
    wire.send(frame(1, 4, 1, &connect)).send(frame(0, 0, 1, b"\x81\x05hello"));
    wire.send(frame(1, 5, 3, b"\x82\x86\x04\x05/fine\x01\x04shop"));

    assert_eq!(copies.eventually_received(1)[0].target, "/fine");
    agent.eventually("umbra_unread_requests_total{reason=\"connect\"}", 1);
    agent.eventually("umbra_shadow_offered_total", 1);
    agent.accounting_is_exact();
}
