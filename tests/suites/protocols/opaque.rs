//! What is no HTTP: relayed at once, whoever speaks first and however little is said, and counted by its protocol.

use std::io::{Read as _, Write as _};

use support::{Agent, Config, Upstream, eventually, upstream};

use crate::World;

struct Scene {
    world: World,
    app: Upstream,
    copies: Upstream,
    agent: Agent,
}

impl Scene {
    /// The app greets, and then sends back each piece as it comes.
    fn greeting(greeting: &'static [u8]) -> Self {
        Self::of(move |mut connection| {
            connection.stream.set_nodelay(true).unwrap();
            connection.write_all(greeting).unwrap();
            let mut buffer = [0; 1024];
            while let Ok(read @ 1..) = connection.read(&mut buffer) {
                connection.write_all(&buffer[..read]).unwrap();
            }
        })
    }

    fn of(conversation: impl Fn(support::Recorder) + Send + Sync + 'static) -> Self {
        let world = World::new();
        let app = upstream(&world.app).speaks(conversation).start();
        let copies = upstream(&world.shadow).start();
        let config =
            Config::capture(&world.app.netns().path(), app.address()).mirror(copies.address(), 100.0);
        let agent = world.agent(&config, |yaml| yaml);
        Self { world, app, copies, agent }
    }

    /// Each piece is back before the next one is sent, so nothing waits for more.
    fn echoes(&self, greeting: &[u8], pieces: &[&[u8]]) {
        let mut wire = self.world.client.connect(self.app.address());
        assert_eq!(wire.read(greeting.len()), greeting);
        for piece in pieces {
            wire.send(piece);
            assert_eq!(wire.read(piece.len()), *piece);
        }
        wire.finish();
        assert_eq!(wire.read_to_end().unwrap(), b"");
    }

    fn counted(&self, protocol: &str, connections: u32) {
        self.agent.eventually(&format!("umbra_connections_total{{protocol=\"{protocol}\"}}"), connections);
    }

    fn nothing_was_copied(&self) {
        self.agent.eventually("umbra_shadow_offered_total", 0);
        assert_eq!(self.copies.count(), 0);
    }
}

#[test]
fn a_greeting_like_mysqls_is_heard_while_the_client_is_silent() {
    let greeting = b"\x4a\0\0\0\x0a8.0.36\0\x08\0\0\0abcdefgh\0\xff\xff\xff\x02\0";
    let scene = Scene::greeting(greeting);
    scene.echoes(greeting, &[b"\x20\0\0\x01\x85\xa6", b"\x01\0\0\0\x0e"]);
    scene.counted("opaque", 1);
    scene.agent.eventually("umbra_unread_connections_total{reason=\"opaque\"}", 1);
    scene.nothing_was_copied();
}

#[test]
fn raw_bytes_pass_one_by_one() {
    let scene = Scene::greeting(b"");
    scene.echoes(b"", &[b"\0", b"\x01", b"GET / HTTP/1.1\r\n\r\n"]);
    // Enough for a method, too little for a request.
    scene.echoes(b"", &[b"G", b"E", b"T\0"]);
    scene.counted("opaque", 2);
    scene.nothing_was_copied();
}

#[test]
fn a_scanner_that_says_nothing_or_too_little_is_counted_when_it_leaves() {
    let scene = Scene::greeting(b"");
    scene.echoes(b"", &[]);
    scene.counted("unknown", 1);
    let mut wire = scene.world.client.connect(scene.app.address());
    wire.send("GE");
    assert_eq!(wire.read(2), b"GE");
    wire.reset();
    // The server spoke before the client had said what it speaks.
    scene.counted("opaque", 1);
    scene.nothing_was_copied();
}

#[test]
fn tls_passes_in_pieces_and_the_server_it_asks_for_is_in_the_log() {
    const VERSIONS: [u8; 7] = [0, 43, 0, 3, 2, 3, 4];
    let scene = Scene::of(|mut connection| {
        connection.read_until(&VERSIONS);
        connection.write_all(b"\x16\x03\x03").unwrap();
        connection.read_until(b"the end");
    });
    let name = b"shop.example.com";
    let (length, list) = (u8::try_from(name.len()).unwrap(), u8::try_from(name.len() + 3).unwrap());
    let extension = [&[0, 0, 0, list + 2, 0, list, 0, 0, length], &name[..]].concat();
    let algorithms = [0, 13, 0, 4, 0, 2, 4, 3];
    let extensions = [&extension[..], &algorithms, &VERSIONS].concat();
    let body = [
        &[3, 3][..],
        &[7; 32],
        &[0, 0, 2, 0x13, 1, 1, 0, 0, u8::try_from(extensions.len()).unwrap()],
        &extensions,
    ]
    .concat();
    let message = [&[1, 0, 0, u8::try_from(body.len()).unwrap()][..], &body].concat();
    let record = [&[0x16, 3, 1, 0, u8::try_from(message.len()).unwrap()][..], &message].concat();

    for (count, longest) in (1..).zip([record.len(), 20, 1]) {
        let mut wire = scene.world.client.connect(scene.app.address());
        wire.send_in_pieces(&record, longest, 5);
        assert_eq!(wire.read(3), b"\x16\x03\x03");
        wire.send("the end");
        assert_eq!(wire.read_to_end().unwrap(), b"");
        scene.counted("tls", count);
        scene.agent.eventually("umbra_unread_connections_total{reason=\"tls\"}", count);
        let whole = [&record[..], b"the end"].concat();
        assert_eq!(scene.app.transcripts().pop().unwrap(), whole);
        let asked = "server_name=\"shop.example.com\"";
        let found = || (scene.agent.log().matches(asked).count() == count as usize).then_some(());
        eventually("the log to name the server", found);
    }
    scene.nothing_was_copied();
}
