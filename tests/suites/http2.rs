//! HTTP/2 without TLS, between a real client and a real server: the copies of many streams at once equal their
//! primaries, and what cannot be copied is counted.

#![allow(clippy::unwrap_used, reason = "a suite fails where it stands")]

use std::{
    fs,
    io::Write as _,
    net::SocketAddr,
    process::{Command, Stdio},
};

use support::{Agent, Body, Config, Nginx, Node, Pod, Upstream, agent, eventually, upstream};

/// An nginx that speaks nothing but HTTP/2 and reads every body before it answers, mirrored to a server that speaks
/// HTTP/1.1.
struct World {
    node: Node,
    app: Pod,
    client: Pod,
    primary: Nginx,
    copies: Upstream,
}

impl World {
    fn new() -> Self {
        let node = Node::new();
        let (app, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
        let address = SocketAddr::new(app.ip(), 8080);
        let http = "  log_format seen '$server_protocol $request_method $request_uri $http_host';\n  \
                    access_log seen.log seen;\n  client_max_body_size 0;\n  \
                    server { listen 8080 http2; location / { proxy_pass http://127.0.0.1:8081; } }\n  \
                    server { listen 127.0.0.1:8081; access_log off; return 200 ok; }";
        let primary = Nginx::start(app.netns(), address, http);
        let copies = upstream(&shadow).start();
        Self { node, app, client, primary, copies }
    }

    fn agent(&self) -> Agent {
        let netns = self.app.netns().path();
        let config = Config::capture(&netns, self.primary.address()).mirror(self.copies.address(), 100.0);
        agent(&self.node).config(&config).start()
    }

    fn curl(&self) -> Command {
        let mut curl = self.client.netns().command("curl");
        curl.args(["--http2-prior-knowledge", "-sS", "--max-time", "60"]);
        curl
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.primary.address())
    }
}

fn output(curl: &mut Command) -> String {
    let output = curl.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{curl:?}: {}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_copies_of_many_streams_equal_their_primaries() {
    let world = World::new();
    let agent = world.agent();

    let list = tempfile::NamedTempFile::new().unwrap();
    let urls: String = (10..60).map(|number| world.url(&format!("/get/{number}?q=%20x\n"))).collect();
    fs::write(list.path(), urls).unwrap();
    let said = output(
        world
            .client
            .netns()
            .command("h2load")
            .args(["-n", "50", "-c", "1", "-m", "20", "-H", "cookie: a=1; b=2"])
            .args(["-H", &format!("x-long: {}", "y".repeat(3000))])
            .arg("-i")
            .arg(list.path()),
    );

    assert!(said.contains("status codes: 50 2xx"), "{said}");
    let mut copies = world.copies.eventually_received(50);
    copies.sort_by(|a, b| a.target.cmp(&b.target));
    for (copy, number) in copies.iter().zip(10..) {
        assert_eq!((copy.method.as_str(), &*copy.target), ("GET", &*format!("/get/{number}?q=%20x")));
        assert_eq!(copy.header("host"), world.primary.address().to_string());
        assert_eq!(copy.header("cookie"), "a=1; b=2");
        assert_eq!(copy.header("x-long").len(), 3000);
        assert_eq!(copy.header("x-umbra-shadow"), "1");
        assert_eq!(copy.body, Body::of(b""));
    }
    let seen = eventually("nginx to have written its log", || {
        Some(world.primary.file("seen.log")).filter(|log| log.lines().count() == 50)
    });
    assert!(seen.lines().all(|line| line.starts_with("HTTP/2.0 GET /get/")), "{seen}");
    agent.eventually("umbra_connections_total{protocol=\"http2\"}", 1);
    agent.eventually("umbra_unread_connections_total", 0);
    agent.eventually("umbra_shadow_outcomes_total{outcome=\"completed\"}", 50);
    agent.accounting_is_exact();
}

#[test]
fn bodies_are_copied_whole_with_and_without_a_length() {
    let world = World::new();
    let agent = world.agent();
    let body: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).take(3_000_000).collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().write_all(&body).unwrap();
    let data = format!("@{}", file.path().display());

    output(world.curl().args(["--data-binary", &data]).arg(world.url("/known")));
    let sized = &world.copies.eventually_received(1)[0];
    assert_eq!((sized.method.as_str(), sized.header("content-length")), ("POST", "3000000"));
    assert_eq!(sized.body, Body::of(&body));

    let stdin = file.reopen().unwrap();
    output(world.curl().args(["-T", "-"]).arg(world.url("/streamed")).stdin(stdin));
    let streamed = &world.copies.eventually_received(2)[1];
    assert_eq!((streamed.method.as_str(), streamed.header("transfer-encoding")), ("PUT", "chunked"));
    assert_eq!(streamed.body, Body::of(&body));
    agent.accounting_is_exact();
}

#[test]
fn what_cannot_be_copied_is_counted() {
    let world = World::new();
    let agent = world.agent();

    let grpc = ["-H", "content-type: application/grpc", "-H", "te: trailers", "-d", "x"];
    assert_eq!(output(world.curl().args(grpc).arg(world.url("/grpc"))), "ok");
    agent.eventually("umbra_shadow_outcomes_total{outcome=\"dropped\",reason=\"unsendable\"}", 1);

    // An upload that its client breaks off.
    let mut broken =
        world.curl().args(["-T", "-"]).arg(world.url("/broken")).stdin(Stdio::piped()).spawn().unwrap();
    broken.stdin.as_mut().unwrap().write_all(&[0; 100]).unwrap();
    agent.eventually("umbra_shadow_in_flight", 1);
    broken.kill().unwrap();
    broken.wait().unwrap();
    agent.eventually("umbra_shadow_outcomes_total{outcome=\"dropped\",reason=\"cancelled\"}", 1);

    world.copies.forget();
    // One stream of a connection is malformed (a control character in a value), the next one is not.
    let frame = |kind: u8, flags: u8, stream: u8, payload: &[u8]| {
        [&[0, 0, u8::try_from(payload.len()).unwrap(), kind, flags, 0, 0, 0, stream], payload].concat()
    };
    let mut wire = world.client.connect(world.primary.address());
    wire.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").send(frame(4, 0, 0, &[]));
    wire.send(frame(1, 5, 1, b"\x82\x86\x84\x01\x01a\x00\x01x\x01\x07"));
    wire.send(frame(1, 5, 3, b"\x82\x86\x04\x05/fine\x01\x01a"));
    agent.eventually("umbra_unread_requests_total{reason=\"header_value\"}", 1);
    assert_eq!(world.copies.eventually_received(1)[0].target, "/fine");
    agent.accounting_is_exact();
}
