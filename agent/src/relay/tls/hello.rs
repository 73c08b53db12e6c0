//! The client's first message, read without answering it: whoever cannot be served as they ask gets to the app with
//! every byte they sent.

use std::{io::ErrorKind, time::Duration};

use rustls::server::{Accepted, Acceptor};
use tokio::{net::TcpStream, time::timeout};

/// A ClientHello is in one or two packets; one that takes longer is the app's to wait for.
const PATIENCE: Duration = Duration::from_secs(10);
/// A ClientHello has up to 2 KiB, with tickets of other servers somewhat more.
const LONGEST: usize = 32 * 1024;
/// Read at once.
const ROOM: usize = 4096;
/// The first byte of a TLS handshake (RFC 8446 §5.1).
const HANDSHAKE: u8 = 0x16;

pub(super) enum Hello {
    /// One that can be read, and its bytes as they came.
    Tls(Box<Accepted>, Vec<u8>),
    /// Anything else, as far as it was read: another protocol, an app that speaks first, a client that says nothing.
    Other(Vec<u8>),
    /// TLS as it is not spoken here, or not to its end.
    Strange(Vec<u8>),
    /// The client has reset the connection.
    Reset,
}

pub(super) async fn read(client: &TcpStream, app: &TcpStream) -> Hello {
    let mut said = Vec::new();
    match timeout(PATIENCE, read_into(&mut said, client, app)).await {
        Ok(Found::Tls(accepted)) => Hello::Tls(accepted, said),
        Ok(Found::Strange) => Hello::Strange(said),
        Ok(Found::Reset) => Hello::Reset,
        // One that began, and stopped or took too long.
        Ok(Found::Other) | Err(_) if said.first() == Some(&HANDSHAKE) => Hello::Strange(said),
        Ok(Found::Other) | Err(_) => Hello::Other(said),
    }
}

enum Found {
    Tls(Box<Accepted>),
    Strange,
    Other,
    Reset,
}

async fn read_into(said: &mut Vec<u8>, client: &TcpStream, app: &TcpStream) -> Found {
    let mut acceptor = Acceptor::default();
    loop {
        let readable = tokio::select! {
            biased;
            readable = client.readable() => readable,
            // It speaks first, or has closed.
            _ = app.readable() => return Found::Other,
        };
        let before = said.len();
        said.reserve(ROOM);
        match readable.and_then(|()| client.try_read_buf(said)) {
            Ok(0) => return Found::Other,
            Ok(_) if said[0] != HANDSHAKE => return Found::Other,
            Ok(_) if said.len() > LONGEST => return Found::Strange,
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => continue,
            Err(_) => return Found::Reset,
        }
        let mut new = &said[before..];
        while !new.is_empty() {
            if acceptor.read_tls(&mut new).is_err() {
                return Found::Strange;
            }
            match acceptor.accept() {
                Ok(None) => {}
                // Nothing follows a ClientHello before it is answered, but for early data, which only the app can read.
                Ok(Some(_)) if !new.is_empty() => return Found::Strange,
                Ok(Some(accepted)) => return Found::Tls(Box::new(accepted)),
                Err(_) => return Found::Strange,
            }
        }
    }
}
