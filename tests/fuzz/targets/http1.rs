//! Bytes of both directions through the reader: it never panics, tells in order, counts no byte twice, and tells the
//! same however the bytes were cut.

use fastrand::Rng;

use crate::{Event, Step, Target, cut, read, steps};

pub(crate) const TARGET: Target = Target { name: "http1", run, max_len: 4096, words, seeds: Vec::new };

pub(super) fn words() -> Vec<String> {
    // The marks of `steps` are no UTF-8: mutations find them in the corpus.
    let words = [
        "GET / HTTP/1.1\r\nHost: a\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\n",
        "HEAD ",
        "CONNECT a:1 HTTP/1.1\r\n",
        "OPTIONS * ",
        "HTTP/1.0\r\n",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 101 ",
        "HTTP/1.1 204 ",
        "HTTP/1.1 304 ",
        "Content-Length: 1\r\n",
        "Content-Length: ",
        "18446744073709551615",
        "Transfer-Encoding: chunked\r\n",
        "Connection: close\r\n",
        "Connection: upgrade\r\n",
        "Upgrade: x\r\n",
        "Expect: 100-continue\r\n",
        "Trailer: X\r\n",
        "Host: a\r\n",
        "Host: [::1]:80\r\n",
        "http://a/",
        "\r\n\r\n",
        "\r\n",
        "0\r\n\r\n",
        "1\r\nx\r\n",
        "ffffffffffffffff\r\n",
        ";a=b\r\n",
        "X: y\r\n",
        " \t",
    ];
    words.map(str::to_owned).to_vec()
}

fn run(data: &[u8]) {
    holds(&steps(data), data.len() as u64);
}

/// What holds for any conversation; panics when it does not.
pub(super) fn holds(steps: &[Step], seed: u64) {
    let whole = read(steps);
    let (mut requests, mut responses) = (0, 0);
    for step in steps {
        match step {
            Step::Client(bytes) => requests += bytes.len() as u64,
            Step::Server(bytes) => responses += bytes.len() as u64,
            Step::ClientEof | Step::ServerEof => {}
        }
    }
    let (of_requests, of_responses) = whole.wire_bytes;
    assert!(of_requests <= requests && of_responses <= responses, "bytes were counted twice");

    same_however_cut(steps, &whole.events, seed);
    let http2 = |e: &Event| matches!(e, Event::RequestHead(_, text) if text.contains(" Http2 "));
    if whole.events.iter().any(http2) {
        return;
    }
    // On HTTP/1 exchanges are numbered in their order, and answered in it.
    let in_order = |ids: Vec<u64>| assert!((0..).zip(&ids).all(|(n, id)| n == *id), "{ids:?}");
    let events = || whole.events.iter();
    in_order(
        events().filter_map(|e| if let Event::RequestHead(id, _) = e { Some(*id) } else { None }).collect(),
    );
    in_order(
        events().filter_map(|e| if let Event::RequestEnd(id, ..) = e { Some(*id) } else { None }).collect(),
    );
    in_order(
        events().filter_map(|e| if let Event::ResponseEnd(id, _) = e { Some(*id) } else { None }).collect(),
    );
}

pub(super) fn same_however_cut(steps: &[Step], whole: &[Event], seed: u64) {
    let mut rng = Rng::with_seed(seed);
    for longest in [1, 7, 100] {
        assert_eq!(read(&cut(steps, longest, &mut rng)).events, whole, "cut by {longest}");
    }
}
