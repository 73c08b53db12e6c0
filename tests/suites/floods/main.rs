//! Floods: a client that sends as much of what costs much as it can. Whatever the flood, the agent's memory stays
//! within the bounds it documents, the books balance, and another connection to the same app is served. Once with an
//! app that takes everything, so that nobody but the agent could stop it, and once with a real nginx, which closes.
//! With `--nocapture` each test prints what it measured.

#![allow(clippy::unwrap_used, reason = "a suite fails where it stands")]

mod bystander;
mod frames;
mod meter;
mod sink;
mod trial;

use frames::{
    END_HEADERS, GET, PREFACE, continuation, data, get, head, ping, priority, reset, settings, table_size,
    window_update,
};
use trial::{App, Flood, trial};

/// The floods of one connection: how it begins, and what is sent again and again.
fn floods() -> Vec<Flood> {
    let http2 = |name, counted, start: Vec<u8>, times, block: fn(u32) -> Vec<u8>| Flood {
        name,
        counted,
        start: [PREFACE, &settings(&[]), &start].concat(),
        times,
        block,
    };
    vec![
        // CVE-2023-44487.
        http2("rapid reset", "requests", vec![], 20_000, |at| [get(2 * at + 1), reset(2 * at + 1)].concat()),
        // VU#421644.
        http2("CONTINUATION, 100 bytes each", "frames", head(1, 0, GET), 100_000, |_| {
            continuation(1, 0, &[b'x'; 100])
        }),
        http2("CONTINUATION, empty", "frames", head(1, 0, GET), 1_000_000, |_| continuation(1, 0, b"")),
        // A field of 4,000 bytes in the table, and 4,000 references of one byte to it in each block.
        http2("HPACK bomb", "requests", bomb(), 500, |at| {
            head(2 * at + 3, END_HEADERS | frames::END_STREAM, &[GET, &[0xbe; 4_000]].concat())
        }),
        // The table is emptied and filled again with each block.
        http2("HPACK table churn", "requests", vec![], 2_000, |at| {
            let fields = b"\x40\x01x\x01y".repeat(100);
            let block = [&table_size(0)[..], &table_size(4096), GET, &fields].concat();
            [head(2 * at + 1, END_HEADERS | frames::END_STREAM, &block), reset(2 * at + 1)].concat()
        }),
        http2("empty DATA", "frames", head(1, END_HEADERS, frames::POST), 1_000_000, |_| data(1, b"")),
        http2("DATA of one byte", "frames", head(1, END_HEADERS, frames::POST), 500_000, |_| data(1, b"x")),
        http2("SETTINGS", "frames", vec![], 200_000, |_| settings(&[(1, 4096), (3, 100), (4, 65_535)])),
        http2("PING", "frames", vec![], 500_000, |_| ping()),
        http2("WINDOW_UPDATE", "frames", get(1), 500_000, |_| window_update(0)),
        http2("PRIORITY", "frames", vec![], 500_000, |at| priority(2 * (at % 1_000_000) + 1)),
        Flood {
            name: "10^6 tiny chunks",
            counted: "chunks",
            start: b"POST /flood HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(),
            times: 1_000_000,
            block: |_| b"1\r\nx\r\n".to_vec(),
        },
        Flood {
            name: "1 MiB header",
            counted: "KiB",
            start: b"GET /flood HTTP/1.1\r\nHost: a\r\nX: ".to_vec(),
            times: 1024,
            block: |_| vec![b'x'; 1024],
        },
        Flood {
            name: "pipelined requests",
            counted: "requests",
            start: vec![],
            times: 200_000,
            block: |_| b"GET /flood HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
        },
    ]
}

/// An entry that all but fills the default table.
fn bomb() -> Vec<u8> {
    let entry = [&[0x40, 1, b'x', 0x7f, 0xa1, 0x1e][..], &[b'y'; 4_000]].concat();
    head(1, END_HEADERS | frames::END_STREAM, &[GET, &entry].concat())
}

#[test]
fn a_flooded_app_that_takes_everything() {
    trial("takes everything", App::Sink, floods(), 1);
}

#[test]
fn a_flooded_nginx() {
    let (http2, http1): (Vec<_>, Vec<_>) =
        floods().into_iter().partition(|flood| flood.start.starts_with(PREFACE));
    trial("nginx", App::Nginx, http1, 1);
    trial("nginx, HTTP/2", App::NginxHttp2, http2, 1);
}

/// What each of many connections costs, adds up: the bound is of them all.
#[test]
fn many_heads_that_do_not_end() {
    let slow =
        |name, start: Vec<u8>, times, block| Flood { name, counted: "bytes each", start, times, block };
    let preface = [PREFACE, &settings(&[])].concat();
    let floods = vec![
        slow("1,000 slow heads", b"GET /flood HTTP/1.1\r\nHost: a\r\n".to_vec(), 40, |_| b"x".to_vec()),
        slow("1,000 slow first bytes", vec![], 20, |_| b"G".to_vec()),
        slow("1,000 slow frames", [&preface[..], &head(1, 0, &[0; 60])[..12]].concat(), 40, |_| vec![0]),
    ];
    trial("slow heads", App::Sink, floods, 1_000);
}
