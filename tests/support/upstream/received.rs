//! What servers remember: whole requests, or the bytes of connections.

use std::{
    hash::Hasher as _,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{Arc, Mutex},
};

use http::HeaderMap;

/// Bytes of each body that are kept; longer ones are known by length and hash.
const KEPT: usize = 64 * 1024;

/// One request as its server saw it.
#[derive(Clone, Debug)]
pub struct Received {
    pub peer: SocketAddr,
    pub method: String,
    pub target: String,
    pub headers: HeaderMap,
    pub body: Body,
}

impl Received {
    /// A header's first value, empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// A body's identity. Equal bodies are equal however they were cut into pieces.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Body {
    pub length: u64,
    pub hash: u64,
    /// The first 64 KiB.
    pub start: Vec<u8>,
}

impl Body {
    pub fn of(bytes: &[u8]) -> Self {
        let mut meter = BodyMeter::default();
        meter.add(bytes);
        meter.finish()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.start).into_owned()
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let start = self.text().chars().take(60).collect::<String>();
        write!(f, "{} bytes, hash {:016x}, {start:?}", self.length, self.hash)
    }
}

#[derive(Default)]
pub(crate) struct BodyMeter {
    length: u64,
    hasher: std::hash::DefaultHasher,
    start: Vec<u8>,
}

impl BodyMeter {
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        self.hasher.write(bytes);
        let room = KEPT - self.start.len();
        self.start.extend_from_slice(&bytes[..room.min(bytes.len())]);
    }

    pub(crate) fn finish(self) -> Body {
        Body { length: self.length, hash: self.hasher.finish(), start: self.start }
    }
}

/// All requests of one server.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Vec<Received>>);

impl Ledger {
    pub(crate) fn add(&self, received: Received) {
        self.0.lock().unwrap().push(received);
    }

    pub(crate) fn all(&self) -> Vec<Received> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    pub(crate) fn clear(&self) {
        self.0.lock().unwrap().clear();
    }
}

/// The bytes of each connection, in the order of their acceptance.
#[derive(Debug, Default)]
pub(crate) struct Transcripts(Mutex<Vec<Arc<Mutex<Vec<u8>>>>>);

impl Transcripts {
    pub(crate) fn open(&self, stream: TcpStream, peer: SocketAddr) -> Recorder {
        let bytes = Arc::<Mutex<Vec<u8>>>::default();
        self.0.lock().unwrap().push(Arc::clone(&bytes));
        Recorder { stream, peer, bytes }
    }

    pub(crate) fn all(&self) -> Vec<Vec<u8>> {
        self.0.lock().unwrap().iter().map(|bytes| bytes.lock().unwrap().clone()).collect()
    }
}

/// The server's end of a connection: what is read through it is remembered, byte for byte.
#[derive(Debug)]
pub struct Recorder {
    pub stream: TcpStream,
    pub peer: SocketAddr,
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl Recorder {
    /// Reads on until this stands at the end of what was read so far; false when the connection ended before.
    pub fn read_until(&mut self, end: &[u8]) -> bool {
        let mut buffer = [0; 16 * 1024];
        loop {
            if self.bytes.lock().unwrap().ends_with(end) {
                return true;
            }
            match self.read(&mut buffer) {
                Ok(0) | Err(_) => return false,
                Ok(_) => {}
            }
        }
    }
}

impl Read for Recorder {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.stream.read(buffer)?;
        self.bytes.lock().unwrap().extend_from_slice(&buffer[..read]);
        Ok(read)
    }
}

impl Write for Recorder {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.stream.flush()
    }
}
