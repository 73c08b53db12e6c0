//! The corpus at a real nginx, once directly and once through the agent.

use std::{
    io::{Read, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use support::{Agent, Config, Connection, Netns, Nginx, Node, Recorder, agent, upstream};
use targets::{Step, read};

use crate::{
    case::{Case, Told, client},
    http2::PREFACE,
};

/// Of every HTTP/2 frame; an empty SETTINGS is nothing else.
const FRAME_HEAD: usize = 9;

/// Each case on a connection of its own: the app gets what was sent and the client what the app said, with and without
/// the agent; and no request is offered that the app did not see.
pub(crate) fn same(cases: &[Case], http2: bool) {
    let node = Node::new();
    let (pod, shadow) = (node.pod("app"), node.pod("shadow"));
    let (direct, captured) = (node.pod("direct"), node.pod("captured"));
    let nginx = nginx(pod.netns(), http2);
    let behind = nginx.address();
    // Before nginx stands who writes down what comes.
    let netns = pod.netns().clone();
    let app = upstream(&pod).speaks(move |client| pass_on(client, &netns.connect(behind).unwrap())).start();
    let copies = upstream(&shadow).replies("ok").start();
    let config = Config::capture(&pod.netns().path(), app.address())
        .mirror(copies.address(), 100.0)
        .agent(&format!("    exempt: [{}]", direct.ip()));
    let agent = agent(&node).config(&config).start();

    for (at, case) in cases.iter().enumerate() {
        let before = lines(&nginx);
        let plain = converse(direct.netns(), app.address(), case);
        let seen_directly = lines(&nginx) - before;
        let offered = offered(&agent);
        let relayed = converse(captured.netns(), app.address(), case);
        let seen = lines(&nginx) - before - seen_directly;
        let offered = self::offered(&agent) - offered;

        let at_app = &app.transcripts()[2 * at..];
        assert_eq!(at_app.len(), 2, "{}: connections at the app", case.name);
        assert!(at_app.iter().all(|got| *got == case.sent()), "{}: the app got other bytes", case.name);
        assert_eq!(seen, seen_directly, "{}: requests at the app", case.name);
        if !http2 {
            assert_eq!(without_date(&relayed), without_date(&plain), "{}", case.name);
        }
        assert!(offered <= seen, "{}: {offered} offered, {seen} at the app", case.name);
        // Said without waiting for answers.
        let told = if http2 {
            case.told.clone()
        } else {
            Told::by(&read(&[client(case.sent()), Step::ClientEof]).events)
        };
        if told.end.is_none() && told.doubts.is_empty() {
            assert_eq!(offered, told.requests.len(), "{}", case.name);
            assert_eq!(seen, offered, "{}: one request at the app is one in the books", case.name);
        }
    }
    agent.accounting_is_exact();
}

fn nginx(netns: &Netns, http2: bool) -> Nginx {
    let listen = if http2 { " http2" } else { "" };
    let http = format!(
        "log_format seen '$request_method $request_uri $status'; access_log seen.log seen; lingering_close off;
         server {{ listen 127.0.0.1:8081{listen}; return 200 ok; }}"
    );
    Nginx::start(netns, SocketAddr::from(([127, 0, 0, 1], 8081)), &http)
}

/// Both ways, and on to the client's end, though nginx may have closed before.
fn pass_on(mut client: Recorder, mut server: &TcpStream) {
    let (mut answers, mut back) = (server.try_clone().unwrap(), client.stream.try_clone().unwrap());
    let answering = thread::spawn(move || {
        let _ = std::io::copy(&mut answers, &mut back);
        let _ = back.shutdown(Shutdown::Write);
    });
    let mut buffer = [0; 16 << 10];
    while let Ok(count @ 1..) = client.read(&mut buffer) {
        let _ = server.write_all(&buffer[..count]);
    }
    let _ = server.shutdown(Shutdown::Write);
    answering.join().unwrap();
}

/// Sends it all and reads to the end. On HTTP/2, settings are acknowledged when they have come.
fn converse(from: &Netns, app: SocketAddr, case: &Case) -> Vec<u8> {
    let mut wire = Connection::open(from, app);
    let sent = case.sent();
    let (greeting, rest) = sent.split_at(if case.is_http2() { PREFACE.len() + FRAME_HEAD } else { 0 });
    wire.send(greeting);
    let settings = wire.read(if case.is_http2() { FRAME_HEAD } else { 0 });
    wire.send(rest).finish();
    [settings, wire.read_to_end().unwrap()].concat()
}

/// nginx writes a line when a request ends; unless it lingers, before it closes its connection.
fn lines(nginx: &Nginx) -> usize {
    nginx.file("seen.log").lines().count()
}

/// Exact once the client has seen the end: an offer is made when the request is passed on.
fn offered(agent: &Agent) -> usize {
    let offered = agent.metrics().sum("umbra_shadow_offered_total");
    Duration::from_secs_f64(offered).as_secs().try_into().unwrap()
}

/// nginx says what time it is.
fn without_date(answer: &[u8]) -> String {
    let text = String::from_utf8_lossy(answer);
    text.lines().filter(|line| !line.starts_with("Date: ")).collect::<Vec<_>>().join("\n")
}
