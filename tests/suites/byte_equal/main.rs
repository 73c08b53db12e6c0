//! Promise 3 at length: 100,000 requests through a real nginx, once directly and once through the agent. What nginx and
//! the app behind it see must be the same, byte for byte, and so must the copies.

#![allow(clippy::unwrap_used, reason = "a suite fails where it stands")]

mod traffic;

use std::{collections::BTreeMap, io::Read as _, io::Write as _, thread};

use support::{
    Agent, Body, Config, Netns, Nginx, Node, Pod, Received, Upstream, UpstreamBuilder, agent, upstream,
};
use traffic::{Case, send};

const REQUESTS: usize = 100_000;
/// What is remembered at a time.
const ROUND: usize = 10_000;
const CLIENTS: usize = 8;

/// What nginx says of each request: its line, its exact size on the wire, and headers as they were sent.
const LOG: &str = "log_format seen '$http_x_number \"$request\" $request_length $http_host \"$http_cookie\" \
                   $content_length $http_transfer_encoding $http_x_noise $status';";

/// A request without what may differ between two runs: who asked.
type Seen = (String, String, Vec<(String, Vec<u8>)>, Body);

struct World {
    /// Exempt from capture.
    direct: Pod,
    captured: Pod,
    nginx: Nginx,
    /// Behind nginx.
    app: Upstream,
    copies: Upstream,
    agent: Agent,
    _node: Node,
}

fn world() -> World {
    let node = Node::new();
    let (pod, shadow) = (node.pod("app"), node.pod("shadow"));
    let (direct, captured) = (node.pod("direct"), node.pod("captured"));
    let localhost = [127, 0, 0, 1].into();
    let app = UpstreamBuilder::new(pod.netns(), localhost).only_on(localhost).replies("ok").start();
    let address = (pod.ip(), 8080).into();
    let http = format!(
        "{LOG} access_log seen.log seen; client_max_body_size 0; keepalive_requests 1000000;
         upstream app {{ server {}; keepalive 32; }}
         server {{ listen 8080; location / {{
           proxy_pass http://app; proxy_http_version 1.1;
           proxy_set_header Host $http_host; proxy_set_header Connection ''; }} }}",
        app.address()
    );
    let nginx = Nginx::start(pod.netns(), address, &http);
    let copies = upstream(&shadow).replies("ok").start();
    let config =
        Config::capture(&pod.netns().path(), address).mirror(copies.address(), 100.0).agent(&format!(
            "    exempt: [{}]\n  shadow: {{queue: {{requests: 20000, bytes: 1Gi, bytesPerRequest: 64Mi}}}}",
            direct.ip()
        ));
    let agent = agent(&node).config(&config).start();
    World { direct, captured, nginx, app, copies, agent, _node: node }
}

#[test]
fn a_hundred_thousand_requests_are_the_same_at_nginx_the_app_and_the_shadow() {
    let world = world();
    for start in (0..REQUESTS).step_by(ROUND) {
        let cases: Vec<Case> = (start..start + ROUND).map(Case::new).collect();
        let expected = run(&world, &world.direct, &cases);
        let relayed = run(&world, &world.captured, &cases);
        for (number, seen) in &expected {
            assert_eq!(Some(seen), relayed.get(number), "request {number} at the app");
        }
        assert_copies(&cases, &world.copies);
    }
    assert_log(&world.nginx.file("seen.log"));
    let total = u32::try_from(REQUESTS).unwrap();
    world.agent.eventually("umbra_shadow_outcomes_total{outcome=\"completed\"}", total);
    world.agent.eventually("umbra_shadow_offered_total", total);
    world.agent.accounting_is_exact();
    world.agent.eventually("umbra_requests_total{matched=\"true\"}", total);
    assert!(world.agent.metrics().sum("umbra_unread_connections_total") < 0.5);
}

/// Sends the cases from a pod; what the app behind nginx saw of each, by its number.
fn run(world: &World, from: &Pod, cases: &[Case]) -> BTreeMap<String, Seen> {
    world.app.forget();
    let server = world.nginx.address();
    thread::scope(|scope| {
        for part in cases.chunks(cases.len() / CLIENTS) {
            scope.spawn(move || send(from.netns(), server, part));
        }
    });
    let received = world.app.eventually_received(cases.len());
    received.into_iter().map(|request| (request.header("x-number").to_owned(), seen(request))).collect()
}

fn seen(request: Received) -> Seen {
    let headers = request.headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()));
    let mut headers: Vec<_> = headers.collect();
    headers.sort();
    (request.method, request.target, headers, request.body)
}

/// Each case was copied once: method, target, body, and its headers but for the documented changes.
fn assert_copies(cases: &[Case], copies: &Upstream) {
    let received = copies.eventually_received(cases.len());
    copies.forget();
    assert_eq!(received.len(), cases.len());
    let by_number: BTreeMap<_, _> =
        received.iter().map(|copy| (copy.header("x-number").to_owned(), copy)).collect();
    for case in cases {
        let copy = by_number[&case.number.to_string()];
        assert_eq!((copy.method.as_str(), &copy.target), (case.method, &case.target));
        assert_eq!(copy.body, case.body(), "{case:?}");
        assert_eq!(copy.header("x-umbra-shadow"), "1");
        for (name, value) in &case.headers {
            assert_eq!(copy.header(name), value, "{name} of {case:?}");
        }
        let framing = ["content-length", "transfer-encoding"].map(|name| copy.headers.contains_key(name));
        assert_eq!(copy.headers.len(), case.headers.len() + 1 + framing.iter().filter(|is| **is).count());
    }
}

/// nginx logged every request twice, once of each run, with equal lines.
fn assert_log(log: &str) {
    let mut lines = BTreeMap::<&str, u32>::new();
    for line in log.lines().filter(|line| !line.starts_with("- ")) {
        *lines.entry(line).or_default() += 1;
    }
    assert_eq!(lines.len(), REQUESTS);
    let odd: Vec<_> = lines.iter().filter(|(_, count)| **count != 2).take(5).collect();
    assert!(odd.is_empty(), "differ between the runs: {odd:#?}");
}

#[test]
fn any_bytes_arrive_as_they_were_sent() {
    let node = Node::new();
    let (app, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
    let primary = upstream(&app)
        .speaks(|mut connection| {
            let mut bytes = Vec::new();
            connection.read_to_end(&mut bytes).unwrap();
            bytes.reverse();
            connection.write_all(&bytes).unwrap();
        })
        .start();
    let copies = upstream(&shadow).start();
    let agent = agent(&node).mirror_all(&primary, &copies).start();
    let mut random = fastrand::Rng::with_seed(3);
    let conversations: Vec<Vec<u8>> = (0..20)
        .map(|number| {
            let mut bytes = vec![0; random.usize(0..2_000_000)];
            random.fill(&mut bytes);
            // Every other one begins like a request, so that the reader is at work when the noise comes.
            let begin: &[u8] = if number % 2 == 0 { b"POST / HTTP/1.1\r\nHost: a\r\n\r\n" } else { b"" };
            [begin, &bytes].concat()
        })
        .collect();

    for bytes in &conversations {
        echo_reversed(client.netns(), primary.address(), bytes);
    }

    let mut at_app = primary.transcripts();
    at_app.sort();
    let mut sent = conversations;
    sent.sort();
    assert!(at_app == sent, "the app did not get what was sent");
    agent.accounting_is_exact();
}

fn echo_reversed(netns: &Netns, server: std::net::SocketAddr, bytes: &[u8]) {
    let mut wire = support::Connection::open(netns, server);
    wire.send_in_pieces(bytes, 100_000, bytes.len() as u64).finish();
    let mut answer = wire.read_to_end().unwrap();
    answer.reverse();
    assert!(answer == bytes, "the client did not get what the app sent");
}
