//! An open loop: each connection has a timetable, and a request that could not be sent in time is measured from when it
//! was due (as wrk2 does), so that a server that stalls cannot make its clients forget the requests it held up.

use std::{
    io::Write as _,
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use crate::{Report, connect, http::Messages, in_parallel};

pub(crate) struct Load {
    pub(crate) server: SocketAddr,
    pub(crate) path: String,
    pub(crate) connections: u32,
    pub(crate) lasts: Duration,
    /// Of all connections together.
    pub(crate) per_second: u32,
    /// Each request has a connection of its own, which the server is asked to close: so its end waits for stragglers, and
    /// the client does not run out of ports.
    pub(crate) anew: bool,
}

/// How long answers are waited for after the last request was due.
const GRACE: Duration = Duration::from_millis(500);

impl Load {
    pub(crate) fn run(&self) -> Report {
        let begin = Instant::now() + Duration::from_millis(50);
        let mut report = Report { took: self.lasts, ..Report::default() };
        in_parallel(self.connections, |number| self.client(begin, number), &mut report);
        report
    }

    fn client(&self, begin: Instant, number: u32) -> Report {
        // A sleep ends when it is due, not up to 50 µs later.
        let _ = nix::sys::prctl::set_timerslack(1);
        let close = if self.anew { "connection: close\r\n" } else { "" };
        let request = format!("GET {} HTTP/1.1\r\nhost: shop.bench\r\n{close}\r\n", self.path);
        let step = Duration::from_secs(1) * self.connections / self.per_second;
        let end = begin + self.lasts;
        let mut due = begin + step * number / self.connections;
        let mut report = Report::default();
        let mut connection = None;
        while due < end && Instant::now() < end + GRACE {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            match self.ask(&mut connection, request.as_bytes(), end + GRACE) {
                Ok(status) => {
                    report.errors += u64::from(status != 200);
                    report.latencies.push(due.elapsed());
                }
                Err(_) if Instant::now() >= end + GRACE => break,
                Err(_) => {
                    connection = None;
                    report.errors += 1;
                    report.latencies.push(due.elapsed());
                }
            }
            due += step;
        }
        // Nobody answered these; they took at least that long.
        while due < end {
            report.unanswered += 1;
            report.latencies.push(end + GRACE - due);
            due += step;
        }
        report
    }

    /// One request and its answer, over the connection kept or a new one; fails at the deadline.
    fn ask(
        &self,
        kept: &mut Option<Messages<std::net::TcpStream>>,
        request: &[u8],
        deadline: Instant,
    ) -> std::io::Result<u16> {
        let connection = match kept {
            Some(connection) if self.anew => {
                connection.go_on_with(connect(self.server)?);
                connection
            }
            Some(connection) => connection,
            None => kept.insert(Messages::of(connect(self.server)?)),
        };
        let left = deadline.saturating_duration_since(Instant::now());
        connection.stream.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        connection.stream.write_all(request)?;
        let status = connection.answer()?;
        if self.anew {
            connection.end()?;
        }
        Ok(status)
    }
}
