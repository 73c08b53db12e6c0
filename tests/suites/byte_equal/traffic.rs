//! Requests of every legal shape, the same ones for the same seed, and a client that sends them as no tidy client
//! would: pipelined, in random pieces.

use std::{net::SocketAddr, ops::Range, sync::OnceLock};

use support::{Body, Connection, Netns, chunked};

/// The largest body.
const LARGEST: usize = 8 << 20;

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) number: usize,
    pub(crate) method: &'static str,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    body: Range<usize>,
    framing: Framing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    None,
    Length,
    Chunked,
}

/// What bodies are cut from.
fn noise() -> &'static [u8] {
    static NOISE: OnceLock<Vec<u8>> = OnceLock::new();
    NOISE.get_or_init(|| {
        let mut noise = vec![0; LARGEST + (1 << 16)];
        fastrand::Rng::with_seed(42).fill(&mut noise);
        noise
    })
}

impl Case {
    pub(crate) fn new(number: usize) -> Self {
        let mut random = fastrand::Rng::with_seed(number as u64);
        let framing = match random.u8(0..10) {
            0..5 => Framing::None,
            5..8 => Framing::Length,
            _ => Framing::Chunked,
        };
        let method = match framing {
            Framing::None => random.choice(["GET", "GET", "GET", "HEAD", "DELETE", "OPTIONS"]),
            _ => random.choice(["POST", "PUT", "PATCH"]),
        };
        // One body in five thousand is of the largest size, most are small, and some are empty.
        let longest = match random.u16(0..5_000) {
            0 => LARGEST,
            1..100 => 300_000,
            100..700 => 30_000,
            _ => 1_500,
        };
        let length = if longest == LARGEST { LARGEST } else { random.usize(0..=longest) };
        let start = random.usize(0..(1 << 16));
        let body = if framing == Framing::None { 0..0 } else { start..start + length };
        let mut headers = vec![
            (
                "Host".to_owned(),
                random.choice(["shop.example", "shop.example:8080", "10.98.1.2"]).unwrap().to_owned(),
            ),
            ("X-Number".to_owned(), number.to_string()),
            (
                "X-Noise".to_owned(),
                std::iter::repeat_with(|| random.alphanumeric()).take(length % 200).collect(),
            ),
            ("Accept-Language".to_owned(), "de, en;q=0.5".to_owned()),
        ];
        if random.bool() {
            headers.push(("cookie".to_owned(), format!("session={}; theme=dark", random.u64(..))));
        }
        Self {
            number,
            method: method.unwrap(),
            target: format!("/shop/{number}?q={}&x=%2F", random.u32(..)),
            headers,
            body,
            framing,
        }
    }

    pub(crate) fn body(&self) -> Body {
        Body::of(&noise()[self.body.clone()])
    }

    /// As it goes over the wire; chunks are of random sizes.
    fn bytes(&self) -> Vec<u8> {
        let mut random = fastrand::Rng::with_seed(!self.number as u64);
        let mut bytes = format!("{} {} HTTP/1.1\r\n", self.method, self.target).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend(format!("{name}: {value}\r\n").bytes());
        }
        let mut body = &noise()[self.body.clone()];
        match self.framing {
            Framing::None => bytes.extend(b"\r\n"),
            Framing::Length => {
                bytes.extend(format!("Content-Length: {}\r\n\r\n", body.len()).bytes());
                bytes.extend(body);
            }
            Framing::Chunked => {
                bytes.extend(b"Transfer-Encoding: chunked\r\n\r\n");
                let mut pieces = Vec::new();
                while !body.is_empty() {
                    let (piece, rest) = body.split_at(random.usize(1..=body.len().min(100_000)));
                    pieces.push(piece);
                    body = rest;
                }
                bytes.extend(chunked(pieces));
            }
        }
        bytes
    }
}

/// Sends the cases over kept connections, up to eight requests ahead of their responses. Fails on any answer but 200.
pub(crate) fn send(netns: &Netns, server: SocketAddr, cases: &[Case]) {
    for kept in cases.chunks(100) {
        let mut wire = Connection::open(netns, server);
        let mut rest = kept;
        while let Some(first) = rest.first() {
            let mut random = fastrand::Rng::with_seed(first.number as u64 + 1);
            let (batch, after) = rest.split_at(random.usize(1..=8).min(rest.len()));
            let bytes: Vec<u8> = batch.iter().flat_map(Case::bytes).collect();
            // Some dozens of pieces, however long the batch.
            let longest = (bytes.len() / random.usize(1..30)).max(1);
            wire.send_in_pieces(&bytes, longest, random.u64(..));
            for case in batch {
                let reply = if case.method == "HEAD" { wire.reply_to_head() } else { wire.reply() };
                assert_eq!(reply.status, 200, "{case:?}");
            }
            rest = after;
        }
    }
}
