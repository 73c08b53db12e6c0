//! The reader of one connection: finds out the protocol, reads it, and stops for good at the first doubt. Owns no
//! heap while the connection is idle.

use bytes::Bytes;

use super::{Protocol, SNIFF_MAX, Sink, Unread, http1::Http1, sniff};

/// Reads one connection. Chunks of both directions are given in the order in which they happened: a request's bytes
/// when they were written to the app, before any response bytes they cause.
#[derive(Debug, Default)]
pub struct Reader {
    protocol: Option<Protocol>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// The client's first bytes, too few to decide.
    Sniffing {
        held: [u8; SNIFF_MAX],
        len: usize,
    },
    Http1(Http1),
    Stopped,
}

impl Default for Stage {
    fn default() -> Self {
        Self::Sniffing { held: [0; SNIFF_MAX], len: 0 }
    }
}

impl Reader {
    pub fn new() -> Self {
        Self::default()
    }

    /// What the connection carries, once known.
    pub fn protocol(&self) -> Option<Protocol> {
        self.protocol
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
            Stage::Stopped => false,
        }
    }

    /// Bytes of the client, after they were written to the app.
    pub fn request(&mut self, chunk: &Bytes, sink: &mut dyn Sink) {
        let read = match &mut self.stage {
            Stage::Sniffing { .. } => self.sniff(chunk, sink),
            Stage::Http1(http1) => http1.request(chunk, sink),
            Stage::Stopped => Ok(()),
        };
        self.stop_on_doubt(read, sink);
    }

    /// Bytes of the app.
    pub fn response(&mut self, chunk: &Bytes, sink: &mut dyn Sink) {
        let read = match &mut self.stage {
            Stage::Sniffing { .. } if !chunk.is_empty() => self.opaque(),
            Stage::Http1(http1) => http1.response(chunk, sink),
            Stage::Sniffing { .. } | Stage::Stopped => Ok(()),
        };
        self.stop_on_doubt(read, sink);
    }

    /// The client will send nothing more.
    pub fn request_eof(&mut self, sink: &mut dyn Sink) {
        let read = match &mut self.stage {
            Stage::Sniffing { len: 1.., .. } => self.opaque(),
            Stage::Http1(http1) => http1.request_eof(),
            Stage::Sniffing { .. } | Stage::Stopped => Ok(()),
        };
        self.stop_on_doubt(read, sink);
    }

    /// The app will send nothing more. Requests it has not answered stay open.
    pub fn response_eof(&mut self, sink: &mut dyn Sink) {
        let read = match &mut self.stage {
            Stage::Http1(http1) => http1.response_eof(sink),
            Stage::Sniffing { .. } | Stage::Stopped => Ok(()),
        };
        self.stop_on_doubt(read, sink);
    }

    fn sniff(&mut self, chunk: &Bytes, sink: &mut dyn Sink) -> Result<(), Unread> {
        let Stage::Sniffing { held, len } = &mut self.stage else { return Ok(()) };
        let before = *len;
        let taken = chunk.len().min(SNIFF_MAX - before);
        held[before..before + taken].copy_from_slice(&chunk[..taken]);
        *len += taken;
        self.protocol = sniff(&held[..*len]);
        match self.protocol {
            None => Ok(()),
            Some(Protocol::Http1) => {
                let earlier = Bytes::copy_from_slice(&held[..before]);
                let mut http1 = Http1::default();
                http1.request(&earlier, sink)?;
                http1.request(chunk, sink)?;
                self.stage = Stage::Http1(http1);
                Ok(())
            }
            Some(Protocol::Http2) => Err(Unread::Http2),
            Some(Protocol::Tls) => Err(Unread::Tls),
            Some(Protocol::Opaque) => Err(Unread::Opaque),
        }
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
