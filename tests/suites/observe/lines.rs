//! Readers of the live view: one that reads, and one that never does.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
};

use serde_json::Value;
use support::{Netns, patience};

/// A client of `GET /api/v1/tap`.
pub(crate) struct Tap {
    answer: BufReader<TcpStream>,
    pub(crate) status: u16,
}

impl Tap {
    /// Asks, and waits for the head of the answer: from then on it is told of every request.
    pub(crate) fn open(netns: &Netns, admin: SocketAddr, query: &str) -> Self {
        let mut stream = ask(netns, admin, query);
        stream.flush().unwrap();
        let mut answer = BufReader::new(stream);
        let mut line = String::new();
        answer.read_line(&mut line).unwrap();
        let status = line[9..12].parse().unwrap();
        while line != "\r\n" {
            line.clear();
            answer.read_line(&mut line).unwrap();
        }
        Self { answer, status }
    }

    /// The next event: its name and data.
    pub(crate) fn next(&mut self) -> (String, Value) {
        let mut name = String::new();
        loop {
            let mut line = String::new();
            assert!(self.answer.read_line(&mut line).unwrap() > 0, "the view has ended");
            if let Some(event) = line.strip_prefix("event: ") {
                event.trim().clone_into(&mut name);
            } else if let Some(data) = line.strip_prefix("data: ") {
                return (name, serde_json::from_str(data).unwrap());
            }
        }
    }

    /// The next request.
    pub(crate) fn line(&mut self) -> Value {
        let (name, data) = self.next();
        assert_eq!(name, "exchange", "{data}");
        data
    }

    pub(crate) fn body(mut self) -> String {
        let mut body = String::new();
        self.answer.read_to_string(&mut body).unwrap();
        body
    }
}

/// One that asks and never reads.
pub(crate) fn ask(netns: &Netns, admin: SocketAddr, query: &str) -> TcpStream {
    let mut stream = netns.connect(admin).unwrap();
    stream.set_read_timeout(Some(patience())).unwrap();
    // HTTP/1.0: the answer comes without chunks.
    write!(stream, "GET /api/v1/tap?{query} HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
    stream
}
