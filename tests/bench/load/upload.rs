//! Uploads, each connection one after the other; what was sent of one that stalls counts too.

use std::{
    io::Write as _,
    net::SocketAddr,
    time::{Duration, Instant},
};

use crate::{Report, connect, http::Messages, in_parallel};

/// Written at once.
const PIECE: usize = 256 << 10;

pub(crate) fn run(server: SocketAddr, connections: u32, lasts: Duration, size: usize) -> Report {
    let begin = Instant::now();
    let mut report = Report::default();
    in_parallel(connections, |_| client(server, begin + lasts, size), &mut report);
    report.took = lasts;
    report
}

fn client(server: SocketAddr, end: Instant, size: usize) -> Report {
    let mut report = Report::default();
    while Instant::now() < end {
        let begin = Instant::now();
        match uploads(server, end, size, &mut report) {
            Ok(()) => {}
            Err(_) if Instant::now() >= end => {
                report.unanswered += 1;
                report.latencies.push(begin.elapsed());
            }
            Err(_) => report.errors += 1,
        }
    }
    report
}

/// Over one connection, until the end.
fn uploads(server: SocketAddr, end: Instant, size: usize, report: &mut Report) -> std::io::Result<()> {
    let mut connection = Messages::of(connect(server)?);
    let piece = vec![b'u'; PIECE];
    while Instant::now() < end {
        let begin = Instant::now();
        let head = format!("PUT /uploads/1 HTTP/1.1\r\nhost: shop.bench\r\ncontent-length: {size}\r\n\r\n");
        let left = || Some(end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1)));
        connection.stream.set_read_timeout(left())?;
        connection.stream.write_all(head.as_bytes())?;
        let mut sent = 0;
        while sent < size {
            connection.stream.set_write_timeout(left())?;
            let count = connection.stream.write(&piece[..PIECE.min(size - sent)])?;
            sent += count;
            // The clock is the judge of what was sent in time.
            if Instant::now() < end {
                report.bytes += count as u64;
            } else {
                return Err(std::io::ErrorKind::TimedOut.into());
            }
        }
        let status = connection.answer()?;
        report.errors += u64::from(status != 200);
        report.latencies.push(begin.elapsed());
    }
    Ok(())
}
