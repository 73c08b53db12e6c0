//! `Upgrade: h2c` (RFC 7540 §3.2): one request, begun in HTTP/1.1 and answered in HTTP/2.

use fastrand::Rng;

use super::*;
use crate::wire::tests::splits::cut;

const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
const PLAIN: &str = "GET /before HTTP/1.1\r\nHost: a\r\n\r\n";
const PLAIN_OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
/// MAX_FRAME_SIZE = 32768.
const LARGE_FRAMES: &str = "AAUAAIAA";

fn upgrade(method: &str, settings: &str) -> String {
    format!(
        "{method} / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
         HTTP2-Settings: {settings}\r\n\r\n"
    )
}

/// What the client says once it was told to go on in HTTP/2.
fn hello_of_client() -> Vec<u8> {
    [PREFACE, &settings(&[(3, 100)]), &ack()].concat()
}

#[test]
fn an_upgraded_request_is_one_exchange_and_is_answered_on_stream_1() {
    let request = upgrade("GET", "AAMAAABkAAQAAP__");
    let answer = [headers(1, END_HEADERS, &OK), data(1, END_STREAM, "hello")].concat();
    let first = [SWITCH.as_bytes(), &settings(&[(3, 100)]), &answer].concat();
    let next = headers(3, ALONE, &GET);
    let next_answer = headers(3, ALONE, &OK);
    let steps = [
        client(PLAIN),
        server(PLAIN_OK),
        client(&request),
        server(first),
        client([hello_of_client(), next.clone()].concat()),
        server([ack(), next_answer.clone()].concat()),
        Step::ClientEof,
        Step::ServerEof,
    ];
    let events = read(&steps);
    let tail = &events[4..];
    assert!(
        matches!(&tail[0], Event::RequestHead(1, head) if head.starts_with("GET / Http11 None")),
        "{tail:?}"
    );
    assert_eq!(
        tail[1..],
        [
            Event::RequestEnd(1, String::new(), request.len() as u64),
            Event::ResponseHead(1, "Http2 200".into()),
            // The 101 is an interim response of it.
            Event::ResponseEnd(1, (SWITCH.len() + answer.len()) as u64),
            Event::RequestHead(3, "GET / Http2 None host:a".into()),
            Event::RequestEnd(3, String::new(), next.len() as u64),
            Event::ResponseHead(3, "Http2 200".into()),
            Event::ResponseEnd(3, next_answer.len() as u64),
        ]
    );
    let reader = reader(&steps[..6]);
    assert!(reader.idle() && !reader.stopped());
    let mut rng = Rng::with_seed(7);
    for _ in 0..50 {
        assert_eq!(read(&cut(&steps, &mut rng)), events);
    }
}

#[test]
fn a_refused_upgrade_goes_on_in_http1() {
    let steps = [client(upgrade("GET", "")), server(PLAIN_OK), client(PLAIN), server(PLAIN_OK)];
    let events = read(&steps);
    assert_eq!(events.len(), 8, "{events:?}");
    assert_eq!(events[7], Event::ResponseEnd(1, PLAIN_OK.len() as u64));
}

#[test]
fn the_settings_of_the_request_hold_from_the_101_on() {
    let answer = [headers(1, END_HEADERS, &OK), data(1, END_STREAM, [0; 20_000])].concat();
    let answer = [SWITCH.as_bytes(), &settings(&[]), &answer].concat();
    let large = [client(upgrade("GET", LARGE_FRAMES)), server(&answer)];
    assert!(matches!(read(&large).last(), Some(Event::ResponseEnd(0, _))));
    assert_eq!(doubt(&[client(upgrade("GET", "")), server(&answer)]), Some(Unread::FrameSize));
}

#[test]
fn an_answer_to_head_has_no_body_after_an_upgrade_either() {
    let answer = headers(1, ALONE, &[(":status", "200"), ("content-length", "9")]);
    let steps = [client(upgrade("HEAD", "")), server([SWITCH.as_bytes(), &settings(&[]), &answer].concat())];
    assert!(matches!(read(&steps)[..], [.., Event::ResponseHead(0, _), Event::ResponseEnd(0, _)]));
}

#[test]
fn the_request_of_an_upgrade_ends_like_any_stream() {
    let begun = || vec![client(upgrade("GET", "")), server([SWITCH.as_bytes(), &settings(&[])].concat())];
    let mut reset_by_client = begun();
    reset_by_client.push(client([hello_of_client(), reset(1)].concat()));
    assert_eq!(read(&reset_by_client).last(), Some(&Event::Cut(0, Cut::ByClient)));
    let mut gone = begun();
    gone.push(Step::ServerEof);
    assert_eq!(read(&gone).last(), Some(&Event::Cut(0, Cut::ByApp)));
    // Its request is whole: nothing of it can follow.
    let mut more = begun();
    more.push(client([hello_of_client(), data(1, END_STREAM, "x")].concat()));
    assert_eq!(read(&more)[2..], [Event::Cut(0, Cut::Doubt(Skipped::AfterEnd))]);
}

#[test]
fn what_a_strict_server_would_not_take_for_an_upgrade_ends_the_reading() {
    let proper = upgrade("GET", LARGE_FRAMES);
    let twice = proper.replace("\r\n\r\n", &format!("\r\nHTTP2-Settings: {LARGE_FRAMES}\r\n\r\n"));
    let requests = [
        proper.replace("HTTP2-Settings: ", "X-Settings: "),
        proper.replace("Upgrade, HTTP2-Settings", "Upgrade"),
        twice,
        upgrade("GET", "AAUAAIA"),
        upgrade("GET", "!"),
        // MAX_FRAME_SIZE = 1.
        upgrade("GET", "AAUAAAAB"),
    ];
    for request in requests {
        assert_eq!(doubt(&[client(&request), server(SWITCH)]), Some(Unread::Upgraded), "{request}");
    }
    for other in ["websocket", "h2c, websocket", "h2"] {
        let switch = SWITCH.replace("h2c", other);
        assert_eq!(doubt(&[client(&proper), server(switch)]), Some(Unread::Upgraded), "{other}");
    }
    let post = proper.replace("GET", "POST").replace("\r\n\r\n", "\r\nContent-Length: 2\r\n\r\n");
    assert_eq!(doubt(&[client(format!("{post}a")), server(SWITCH)]), Some(Unread::Upgraded));
    assert_eq!(doubt(&[client(format!("{post}ab")), server(SWITCH)]), None);
    assert_eq!(doubt(&[client(&proper), server(SWITCH), client("GET / ")]), Some(Unread::NotHttp2));
    assert_eq!(doubt(&[client(&proper), client(PREFACE)]), Some(Unread::PipelinedAfterUpgrade));
    let speaks_http1 = [client(&proper), server(format!("{SWITCH}{PLAIN_OK}"))];
    assert_eq!(doubt(&speaks_http1), Some(Unread::NotHttp2));
}
