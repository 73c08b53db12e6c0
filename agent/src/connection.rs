//! THE STORY: one connection, from accept to record. Read this first.
//!
//! A client's connection arrives from a [`capture`](crate::capture::Inbound). We connect to the application it was
//! meant for and [`relay`] bytes both ways, untouched. A passive [`Reader`] watches the bytes go by and tells us of
//! requests; for each we ask the [`Snapshot`] which rule it matches, and offer a copy to the shadow
//! [`Plane`] for each mirror of that rule. Whatever goes wrong from the reader on is counted and costs the copy at
//! most; the relay does not know of it.

mod exchanges;
mod open;
#[cfg(test)]
mod tests;

use std::{net::SocketAddr, sync::Arc};

use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::net::TcpStream;

use crate::{
    capture::{ConnectError, Inbound, Seed, canonical},
    record::{Connection, Ending, Observer},
    relay::{
        self, Leaving, Peer, Tap,
        tls::{self, Certificates, Opened},
    },
    route::Snapshot,
    shadow::Plane,
    wire::{Place, Protocol, Reader},
};
use exchanges::Exchanges;

/// What every connection of this agent needs.
pub struct Node {
    /// The rules in force; swapped whole when the configuration changes.
    pub snapshot: ArcSwap<Snapshot>,
    pub plane: Arc<Plane>,
    pub observer: Arc<dyn Observer>,
    /// Of the draws of connections; the kernel's program has the same.
    pub seed: Seed,
    pub certificates: Arc<Certificates>,
    /// Of the whole agent; each listener's connections hear a part of it.
    pub leaving: Leaving,
}

/// Carries one captured connection to its end, or until `leaving` says that it is to end.
pub async fn serve(
    (client_stream, client): (TcpStream, SocketAddr),
    inbound: &Inbound,
    node: &Node,
    leaving: &Leaving,
) {
    let Ok(destination) = inbound.original_destination(&client_stream) else {
        return; // The client was gone before we looked.
    };
    let client = canonical(client);
    let app_stream = match inbound.connect(client, destination).await {
        Ok(stream) => stream,
        Err(error) => return refuse(&client_stream, inbound, destination, &error),
    };
    let mut story = Story::new(client, destination, node);
    match node.certificates.at(destination.port()) {
        None => {
            relay::relay(client_stream, app_stream, &mut story, leaving).await;
        }
        // On the heap, so that other connections need no room for it.
        Some(port) => Box::pin(open(port, client_stream, app_stream, inbound, &mut story, leaving)).await,
    }
    story.finish();
}

/// Carries a connection that is encrypted, read where that is possible.
async fn open(
    port: &tls::Port,
    client_stream: TcpStream,
    app_stream: TcpStream,
    inbound: &Inbound,
    story: &mut Story<'_>,
    leaving: &Leaving,
) {
    let Exchanges { client, destination, .. } = story.exchanges;
    let again = async || inbound.connect(client, destination).await;
    match port.open(client_stream, app_stream, again).await {
        Opened::Read { client, app } => {
            story.exchanges.encrypted = true;
            relay::relay(client, app, story, leaving).await;
        }
        Opened::Untouched { client, app, said, why } => {
            story.exchanges.sealed = why;
            relay::relay_after(said, client, app, story, leaving).await;
        }
        Opened::Refused { client, error } => refuse(&client, inbound, destination, &error),
        Opened::Over => {}
    }
}

/// The app cannot be reached. The client learns it by a reset, and for a moment the kernel answers in our stead, so
/// that probes and retries see what they would see without us.
fn refuse(client_stream: &TcpStream, inbound: &Inbound, destination: SocketAddr, error: &ConnectError) {
    if !matches!(error, ConnectError::Refused) {
        tracing::warn!(%destination, %error, "cannot reach the app; its client is reset");
    }
    inbound.release(destination);
    relay::reset(client_stream);
}

/// What is known of a connection while it lasts. Dropped before it is finished, the agent has ended the connection.
struct Story<'n> {
    reader: Reader,
    exchanges: Exchanges<'n>,
    protocol_counted: bool,
}

impl<'n> Story<'n> {
    fn new(client: SocketAddr, destination: SocketAddr, node: &'n Node) -> Self {
        Self {
            reader: Reader::new(),
            exchanges: Exchanges::new(client, destination, node),
            protocol_counted: false,
        }
    }

    /// The connection is over: what was still open saw its last byte. Unless the client is known to have ended it, the app
    /// did, which owed an answer.
    fn finish(mut self) {
        if self.exchanges.ended_by == Ending::Agent {
            self.exchanges.ended_by = Ending::App;
        }
    }

    fn count_protocol(&mut self, at_last: bool) {
        if self.protocol_counted {
            return;
        }
        let known = match self.reader.protocol() {
            // With the server's name, which comes a moment later.
            Some(Protocol::Tls) => self.reader.stopped(),
            protocol => protocol.is_some(),
        };
        if at_last || known {
            let Exchanges { client, destination, node, .. } = self.exchanges;
            let protocol = self.reader.protocol().map_or("unknown", |protocol| protocol.as_str());
            let server_name = self.reader.server_name();
            if let Some(server_name) = server_name {
                tracing::debug!(%client, %destination, server_name, "a connection of TLS");
            }
            node.observer.connection(&Connection { client, destination, protocol, server_name });
            self.protocol_counted = true;
        }
    }
}

impl Drop for Story<'_> {
    fn drop(&mut self) {
        self.count_protocol(true);
        self.exchanges.end_all();
    }
}

impl Tap for Story<'_> {
    fn request(&mut self, chunk: &Bytes) {
        self.reader.request(chunk, &mut self.exchanges);
        self.count_protocol(false);
    }

    fn response(&mut self, chunk: &Bytes) {
        self.reader.response(chunk, &mut self.exchanges);
        self.count_protocol(false);
    }

    fn response_unseen(&self) -> u64 {
        self.reader.response_ahead()
    }

    fn response_passed(&mut self, count: u64) {
        self.reader.response_passed(count, &mut self.exchanges);
    }

    fn request_end(&mut self) {
        self.exchanges.truncated_by = Ending::Client;
        self.reader.request_eof(&mut self.exchanges);
    }

    fn response_end(&mut self) {
        self.exchanges.truncated_by = Ending::App;
        self.reader.response_eof(&mut self.exchanges);
    }

    fn reset(&mut self, by: Peer) {
        self.exchanges.ended_by = match by {
            Peer::Client => Ending::Client,
            Peer::App => Ending::App,
        };
    }

    fn place(&self) -> Place {
        self.reader.place()
    }
}
