//! What `cargo xtask bench` drives its cases with besides wrk, built for release and started as a program of its own, so
//! that it can be pinned and put into a namespace: requests at a fixed rate (over kept connections, or each over a new
//! one), uploads, idle connections, the app that reads uploads, and work that keeps a CPU busy. Blocking threads
//! throughout: simple, and the same for every case.
//!
//! Why not oha: it measures from when a request was due as this does, but it neither stops an upload halfway nor counts
//! what a stalled one got through, it cannot hold idle connections, and it would be one more program to build.

mod hold;
mod http;
mod paced;
mod sink;
mod upload;

use std::{net::SocketAddr, str::FromStr, time::Duration};

use anyhow::{Context as _, Result, bail};
use serde_json::json;

const USAGE: &str = "understood are
  get ADDRESS PATH CONNECTIONS SECONDS RATE
  open ADDRESS PATH CLIENTS SECONDS RATE
  put ADDRESS CONNECTIONS SECONDS BYTES
  hold ADDRESS CONNECTIONS
  sink ADDRESS MILLISECONDS
  spin";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        [what @ ("get" | "open"), server, path, connections, seconds, rate] => {
            let load = paced::Load {
                anew: what == "open",
                server: read(server)?,
                path: path.to_owned(),
                connections: read(connections)?,
                lasts: seconds_of(seconds)?,
                per_second: read(rate)?,
            };
            load.run().print();
        }
        ["put", server, connections, seconds, bytes] => {
            upload::run(read(server)?, read(connections)?, seconds_of(seconds)?, read(bytes)?).print();
        }
        ["hold", server, connections] => hold::run(read(server)?, read(connections)?)?,
        ["sink", address, takes] => sink::run(read(address)?, Duration::from_millis(read(takes)?))?,
        ["spin"] => loop {
            std::hint::spin_loop();
        },
        _ => bail!("{USAGE}"),
    }
    Ok(())
}

fn read<T: FromStr>(word: &str) -> Result<T>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    word.parse().with_context(|| format!("`{word}`; {USAGE}"))
}

fn seconds_of(word: &str) -> Result<Duration> {
    Ok(Duration::from_secs(read(word)?))
}

/// What became of a load.
#[derive(Default)]
struct Report {
    took: Duration,
    /// From when each request was due to the end of its answer; of one without an answer, to the end of the load.
    latencies: Vec<Duration>,
    /// Of those, how many had no answer by then.
    unanswered: u64,
    /// Answers that say of a failure, and connections that broke.
    errors: u64,
    /// Of bodies sent.
    bytes: u64,
}

impl Report {
    fn add(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        self.unanswered += other.unanswered;
        self.errors += other.errors;
        self.bytes += other.bytes;
    }

    /// One line, as report.lua has wrk print it; times in microseconds.
    fn print(mut self) {
        self.latencies.sort_unstable();
        let at = |percent: usize| {
            let rank = (self.latencies.len() * percent).div_ceil(100).max(1) - 1;
            self.latencies.get(rank).map_or(0, Duration::as_micros)
        };
        let answered = self.latencies.len() as u64 - self.unanswered;
        println!(
            "{}",
            json!({
                "requests": answered, "took": self.took.as_micros(), "p50": at(50), "p99": at(99),
                "errors": self.errors, "unanswered": self.unanswered, "bytes": self.bytes,
            })
        );
    }
}

/// The sum of what each of so many threads reports.
fn in_parallel(connections: u32, client: impl Fn(u32) -> Report + Sync, report: &mut Report) {
    std::thread::scope(|scope| {
        let client = &client;
        let clients: Vec<_> = (0..connections).map(|number| scope.spawn(move || client(number))).collect();
        for client in clients {
            report.add(client.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
    });
}

/// A connection that gives up at the load's end.
fn connect(server: SocketAddr) -> std::io::Result<std::net::TcpStream> {
    let stream = std::net::TcpStream::connect_timeout(&server, Duration::from_secs(1))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
