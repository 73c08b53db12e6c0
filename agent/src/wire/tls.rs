//! The first words of TLS: which host the client asks for (SNI, RFC 6066 §3). Nothing is decrypted, and what cannot be
//! read stays unknown; reading a connection of TLS ends here in any case.

use std::mem;

use rustls::server::Acceptor;

/// The most of a client's first words that is looked at; with keys for the time after quantum computers they have 2 KiB.
const HELLO_MAX: usize = 16 * 1024;

/// A ClientHello under way. rustls reads it, so that no second parser of it is kept here; one that rustls would not answer
/// (before TLS 1.2, without `signature_algorithms`) names no server.
#[derive(Default)]
pub(super) struct Hello {
    acceptor: Acceptor,
    seen: usize,
    server_name: Option<Box<str>>,
}

impl Hello {
    /// Reads on. True when everything that can be told is known.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let before = bytes.len();
            if self.acceptor.read_tls(&mut bytes).is_err() {
                return true;
            }
            self.seen += before - bytes.len();
            match self.acceptor.accept() {
                Ok(Some(accepted)) => {
                    self.server_name = accepted.client_hello().server_name().map(Box::from);
                    return true;
                }
                Ok(None) if self.seen < HELLO_MAX && bytes.len() < before => {}
                Ok(None) | Err(_) => return true,
            }
        }
        false
    }

    /// The host, if one was named.
    pub(super) fn server_name(&mut self) -> Option<Box<str>> {
        mem::take(&mut self.server_name)
    }
}

impl std::fmt::Debug for Hello {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hello").field("seen", &self.seen).finish_non_exhaustive()
    }
}
