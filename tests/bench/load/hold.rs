//! Connections that have been used once and are then kept idle.

use std::{
    io::{Read as _, Write as _},
    net::SocketAddr,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use crate::{connect, http::Messages};

/// Opens them, says so by a line of output, and keeps them until its input ends.
pub(crate) fn run(server: SocketAddr, connections: u32) -> Result<()> {
    let mut held = Vec::new();
    for number in 0..connections {
        let stream = connect(server).with_context(|| format!("connection {number} to {server}"))?;
        stream.set_read_timeout(Some(Duration::from_secs(15)))?;
        let mut connection = Messages::of(stream);
        connection.stream.write_all(b"GET /products/1 HTTP/1.1\r\nhost: shop.bench\r\n\r\n")?;
        let status = connection.answer().with_context(|| format!("the answer on connection {number}"))?;
        ensure!(status == 200, "connection {number}: {status}");
        held.push(connection.stream);
    }
    println!("held");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
