//! The reader of one connection: finds out the protocol, reads it, and stops for good at the first doubt. Owns no
//! heap while the connection is idle, but for what HTTP/2 must remember.

use std::mem;

use bytes::Bytes;

use super::{
    Place, Protocol, SNIFF_MAX, Sink, Unread,
    http1::Http1,
    http2::Http2,
    sniff::{self, sniff},
    tls::Hello,
};

/// How much a server may say before the client has said enough: SETTINGS, and a few small frames after it.
const EARLY_MAX: usize = 512;

/// Reads one connection. Chunks of both directions are given in the order in which they happened: a request's bytes
/// when they were written to the app, before any response bytes they cause, and the other way round.
#[derive(Debug, Default)]
pub struct Reader {
    protocol: Option<Protocol>,
    server_name: Option<Box<str>>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// The client's first bytes, too few to decide, and what the server said meanwhile.
    Sniffing {
        held: [u8; SNIFF_MAX],
        len: usize,
        early: Vec<u8>,
    },
    Http1(Http1),
    Http2(Box<Http2>),
    /// Until the server's name was seen.
    Tls(Box<Hello>),
    Stopped,
}

impl Default for Stage {
    fn default() -> Self {
        Self::Sniffing { held: [0; SNIFF_MAX], len: 0, early: Vec::new() }
    }
}

impl Reader {
    pub fn new() -> Self {
        Self::default()
    }

    /// What the connection carries, once known; what it began as where it was changed to HTTP/2 (`Upgrade: h2c`).
    pub fn protocol(&self) -> Option<Protocol> {
        self.protocol
    }

    /// The host that a client of TLS asked for (SNI), known once reading has ended.
    pub fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// Whether reading has ended; further chunks need not be given.
    pub fn stopped(&self) -> bool {
        matches!(self.stage, Stage::Stopped)
    }

    /// Whether nothing is open: no message has begun and no response is owed. Always false once reading has ended,
    /// for then nobody knows.
    pub fn idle(&self) -> bool {
        match &self.stage {
            Stage::Sniffing { len, .. } => *len == 0,
            Stage::Http1(http1) => http1.idle(),
            Stage::Http2(http2) => http2.idle(),
            Stage::Tls(_) | Stage::Stopped => false,
        }
    }

    /// Where the bytes given so far leave the connection.
    pub fn place(&self) -> Place {
        match &self.stage {
            Stage::Sniffing { len: 0, early, .. } if early.is_empty() => Place::Between,
            Stage::Sniffing { .. } => Place::Within,
            Stage::Http1(http1) => http1.place(),
            Stage::Http2(http2) => http2.place(),
            Stage::Tls(_) | Stage::Stopped => Place::Unknown,
        }
    }

    /// Bytes of the client, after they were written to the app.
    pub fn request(&mut self, chunk: &Bytes, sink: &mut dyn Sink) {
        let read = match &mut self.stage {
            Stage::Sniffing { .. } => self.sniff(chunk, sink),
            Stage::Http1(http1) => http1.request(chunk, sink),
            Stage::Http2(http2) => http2.request(chunk, sink),
            Stage::Tls(_) => self.hello(chunk),
            Stage::Stopped => Ok(()),
        };
        self.stop_on_doubt(read, sink);
    }

    /// Bytes of the app.
    pub fn response(&mut self, chunk: &Bytes, sink: &mut dyn Sink) {
        let read = match &mut self.stage {
            Stage::Sniffing { early, .. } => {
                early.extend_from_slice(&chunk[..chunk.len().min(EARLY_MAX)]);
                if early.len() < EARLY_MAX && sniff::may_be_settings(early) { Ok(()) } else { self.opaque() }
            }
            Stage::Http1(_) => self.http1_response(chunk, sink),
            Stage::Http2(http2) => http2.response(chunk, sink),
            // The server has seen enough to answer.
            Stage::Tls(_) => Err(Unread::Tls),
            Stage::Stopped => Ok(()),
        };
        self.stop_on_doubt(read, sink);
    }

    /// How many of the app's next bytes need no look: data of a response's body, or whatever comes where nothing is read
    /// any more.
    pub fn response_ahead(&self) -> u64 {
        match &self.stage {
            Stage::Http1(http1) => http1.response_ahead(),
            Stage::Stopped => u64::MAX,
            Stage::Sniffing { .. } | Stage::Http2(_) | Stage::Tls(_) => 0,
        }
    }

    /// In place of so many bytes of the app, at most as many as were ahead: they were written to the client unseen.
    pub fn response_passed(&mut self, count: u64, sink: &mut dyn Sink) {
        if let Stage::Http1(http1) = &mut self.stage {
            http1.response_passed(count, sink);
        }
    }

    /// The client will send nothing more.
    pub fn request_eof(&mut self, sink: &mut dyn Sink) {
        let read = match &mut self.stage {
            Stage::Sniffing { len: 1.., .. } => self.opaque(),
            Stage::Http1(http1) => http1.request_eof(),
            Stage::Http2(http2) => {
                http2.request_eof(sink);
                Ok(())
            }
            Stage::Tls(_) => Err(Unread::Tls),
            Stage::Sniffing { .. } | Stage::Stopped => Ok(()),
        };
        self.stop_on_doubt(read, sink);
    }

    /// The app will send nothing more. Requests it has not answered stay open.
    pub fn response_eof(&mut self, sink: &mut dyn Sink) {
        let read = match &mut self.stage {
            Stage::Http1(http1) => http1.response_eof(sink),
            Stage::Http2(http2) => {
                http2.response_eof(sink);
                Ok(())
            }
            Stage::Tls(_) => Err(Unread::Tls),
            Stage::Sniffing { .. } | Stage::Stopped => Ok(()),
        };
        self.stop_on_doubt(read, sink);
    }

    fn sniff(&mut self, chunk: &Bytes, sink: &mut dyn Sink) -> Result<(), Unread> {
        let Stage::Sniffing { held, len, early } = &mut self.stage else { return Ok(()) };
        let before = *len;
        let taken = chunk.len().min(SNIFF_MAX - before);
        held[before..before + taken].copy_from_slice(&chunk[..taken]);
        *len += taken;
        self.protocol = sniff(&held[..*len]);
        match self.protocol {
            None => Ok(()),
            Some(Protocol::Http2) => {
                let mut http2 = Box::<Http2>::default();
                http2.response(&Bytes::from(mem::take(early)), sink)?;
                // The preface is exactly what was needed to decide.
                http2.request(&chunk.slice(taken..), sink)?;
                self.stage = Stage::Http2(http2);
                Ok(())
            }
            // No HTTP/1 server speaks first.
            Some(_) if !early.is_empty() => self.opaque(),
            Some(Protocol::Http1) => {
                let earlier = Bytes::copy_from_slice(&held[..before]);
                let mut http1 = Http1::default();
                http1.request(&earlier, sink)?;
                http1.request(chunk, sink)?;
                self.stage = Stage::Http1(http1);
                Ok(())
            }
            Some(Protocol::Tls) => {
                let earlier = Bytes::copy_from_slice(&held[..before]);
                self.stage = Stage::Tls(Box::default());
                self.hello(&earlier)?;
                self.hello(chunk)
            }
            Some(Protocol::Opaque) => Err(Unread::Opaque),
        }
    }

    fn http1_response(&mut self, chunk: &Bytes, sink: &mut dyn Sink) -> Result<(), Unread> {
        let Stage::Http1(http1) = &mut self.stage else { return Ok(()) };
        if let Some((used, request)) = http1.response(chunk, sink)? {
            let mut http2 = Box::new(Http2::upgraded(&request));
            http2.response(&chunk.slice(used..), sink)?;
            self.stage = Stage::Http2(http2);
        }
        Ok(())
    }

    fn hello(&mut self, chunk: &Bytes) -> Result<(), Unread> {
        let Stage::Tls(hello) = &mut self.stage else { return Ok(()) };
        if hello.read(chunk) {
            self.server_name = hello.server_name();
            return Err(Unread::Tls);
        }
        Ok(())
    }

    fn opaque(&mut self) -> Result<(), Unread> {
        self.protocol = Some(Protocol::Opaque);
        Err(Unread::Opaque)
    }

    fn stop_on_doubt(&mut self, read: Result<(), Unread>, sink: &mut dyn Sink) {
        if let Err(reason) = read {
            self.stage = Stage::Stopped;
            sink.unread(reason);
        }
    }
}
