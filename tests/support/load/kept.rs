//! A client that keeps its connection as long as the server does.

use std::{net::SocketAddr, time::Instant};

use http::Method;

use super::{Outcome, Tally, outcome};
use crate::{Netns, client::Client};

/// Asks until told to stop; to be called inside the client's namespace.
pub(super) fn ask(server: SocketAddr, tally: &Tally, renewed_after: u64) {
    let here = Netns::host();
    let mut client = Client::new(&here, server);
    for asked in 1.. {
        if tally.stopped() {
            return;
        }
        if asked % renewed_after == 0 {
            client.leave();
        }
        let (started, kept) = (Instant::now(), client.is_kept());
        let asked = client.send(Method::GET, "/load", b"");
        tally.note(started, kept, asked.map_or_else(|error| outcome(&error), |_| Outcome::Answered));
    }
}
