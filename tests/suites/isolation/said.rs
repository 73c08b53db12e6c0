//! What clients and the app say to each other. Both know every byte of it beforehand, so each compares what it hears
//! with what was said; nothing is assumed of what lies between.

use std::sync::LazyLock;

/// One request, named by its connection and its place on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) connection: usize,
    pub(crate) number: usize,
    pub(crate) body: usize,
}

/// The body of every answer.
pub(crate) const ANSWER: usize = 8 << 10;

/// A prime, so that no block of any buffer lies on it evenly.
const PERIOD: usize = 65_521;

static PATTERN: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut random = fastrand::Rng::with_seed(4);
    let once: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(PERIOD).collect();
    [once.as_slice(), &once].concat()
});

impl Request {
    pub(crate) fn head(self) -> String {
        let Self { connection, number, body } = self;
        let common =
            format!("Host: app.test\r\nUser-Agent: isolation/1\r\nAccept: */*\r\nCookie: n={number}\r\n");
        if body == 0 {
            format!("GET /{connection}/{number}/0 HTTP/1.1\r\n{common}\r\n")
        } else {
            format!("POST /{connection}/{number}/{body} HTTP/1.1\r\n{common}Content-Length: {body}\r\n\r\n")
        }
    }

    pub(crate) fn answer_head(self) -> String {
        let Self { connection, number, .. } = self;
        format!("HTTP/1.1 200 OK\r\nX-Of: {connection}/{number}\r\nContent-Length: {ANSWER}\r\n\r\n")
    }

    /// The request whose head this claims to be.
    pub(crate) fn of(head: &str) -> Option<Self> {
        let target = head.split(' ').nth(1)?;
        let mut parts = target.split('/').skip(1).map(str::parse);
        let mut next = || parts.next()?.ok();
        Some(Self { connection: next()?, number: next()?, body: next()? })
    }

    /// Up to 64 KiB of the body from there on; that of the answer is the same one.
    pub(crate) fn body_at(self, position: usize, most: usize) -> &'static [u8] {
        let from = (position + self.connection * 31 + self.number * 7) % PERIOD;
        &PATTERN[from..from + most.min(PERIOD)]
    }
}
