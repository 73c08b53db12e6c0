use std::io::{ErrorKind, Read as _, Write as _};

use super::{received::Body, *};
use crate::Node;

#[test]
fn an_echo_tells_what_it_saw_and_remembers_it() {
    let node = Node::new();
    let (app, client) = (node.pod("app"), node.pod("client"));
    let app = upstream(&app).named("v1").start();

    let reply = client.client(app.address()).header("x-note", "hello").post("/cart?a=1", b"three");

    let seen: serde_json::Value = serde_json::from_str(&reply.text()).unwrap();
    assert_eq!(seen["served_by"], "v1");
    assert_eq!(seen["target"], "/cart?a=1");
    assert_eq!(seen["headers"]["x-note"], "hello");
    let received = app.eventually_received(1).remove(0);
    assert_eq!(received.method, "POST");
    assert_eq!(received.peer.ip(), client.ip());
    assert_eq!(received.body, Body::of(b"three"));
}

#[test]
fn a_body_is_the_same_however_it_was_cut() {
    let mut pieces = received::BodyMeter::default();
    for piece in [&b"th"[..], b"", b"ree"] {
        pieces.add(piece);
    }
    assert_eq!(pieces.finish(), Body::of(b"three"));
    assert_ne!(Body::of(b"three"), Body::of(b"tree"));
}

#[test]
fn each_bad_server_is_bad_in_its_own_way() {
    let node = Node::new();
    let (pod, client) = (node.pod("app"), node.pod("client"));
    let ask = |server: &Upstream| {
        let mut stream = client.netns().connect(server.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).map(|_| answer)
    };

    assert_eq!(ask(&upstream(&pod).resets().start()).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert!(ask(&upstream(&pod).answers_garbage().start()).unwrap().starts_with(b"\x16"));
    let silent = upstream(&pod).never_answers().start();
    assert_eq!(ask(&silent).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(silent.count(), 1);
}

#[test]
fn a_conversation_is_remembered_byte_for_byte() {
    let node = Node::new();
    let (pod, client) = (node.pod("app"), node.pod("client"));
    let greeter = upstream(&pod).speaks(|mut wire| {
        wire.write_all(b"220 hello\r\n").unwrap();
        assert!(wire.read_until(b"QUIT\r\n"));
    });
    let greeter = greeter.start();

    let mut stream = client.netns().connect(greeter.address()).unwrap();
    let mut greeting = [0; 11];
    stream.read_exact(&mut greeting).unwrap();
    stream.write_all(b"helo\r\nQUIT\r\n").unwrap();
    stream.read_to_end(&mut Vec::new()).unwrap();

    assert_eq!(greeter.transcripts(), [b"helo\r\nQUIT\r\n"]);
}
