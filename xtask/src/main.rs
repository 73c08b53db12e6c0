//! Every developer command, one file each. A command first sets up what it needs, and says what it does.

mod bench;
mod check;
mod demo;
mod floors;
mod fuzz;
mod setup;
mod shell;
mod test;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Result;
use clap::{Parser, Subcommand};

/// umbra's developer commands
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install the eBPF toolchain and the programs the tests use, where they are missing
    Setup,
    /// Show a mirrored request on this machine: three network namespaces, real servers, a real client
    Demo {
        /// Leave everything running until Ctrl-C, and print where to look
        #[arg(long)]
        keep: bool,
    },
    /// Run all tests, as root: unit, direct, kernel, netns
    Test {
        /// Only tests whose name contains this
        filter: Option<String>,
    },
    /// Measure CPU per request beside nginx, in one run of two minutes
    ///
    /// Five ways to one app take turns under wrk, with 32 kept connections and a small GET: the app alone; umbra with
    /// rules that mirror none of the requests; umbra mirroring all of them; nginx as a plain proxy; nginx with its
    /// `mirror` directive. All stand in the app's network namespace, with one worker each. Once at a pace that leaves
    /// CPU to spare, once at full speed, where umbra drops copies rather than slow the primary: see how many were
    /// copied.
    ///
    /// The proxy's CPU is user and system time of all its threads until the last copy has ended; the machine's is all
    /// that was busy meanwhile, load, app and others included. Figures are medians of three rounds; ratios are to plain
    /// nginx in the same round.
    ///
    /// Fails when the run was not what it says (a bad answer, a request that umbra did not read or offer, books that
    /// do not balance), never because of a figure.
    Bench {
        /// Also write all figures there, those of each round too, as JSON
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
    /// Fuzz what reads untrusted bytes (tests/fuzz), as many targets at a time as there are CPUs
    ///
    /// Under libFuzzer, on stable Rust, in target/fuzz, where the corpus of each target grows from run to run. An input
    /// that panics, takes ten seconds or a gibibyte is kept as a finding, and the command fails.
    Fuzz {
        /// How long each target is fuzzed: 90s, 10m, 1h
        #[arg(long, default_value = "10m", value_parser = fuzz::duration)]
        time: Duration,
        /// Only these targets
        targets: Vec<String>,
    },
    /// Formatting, lints, documentation, floors, dependencies
    Check,
}

fn main() -> Result<ExitCode> {
    match Cli::parse().command {
        Command::Setup => setup::run(setup::For::Tests).map(|_| ExitCode::SUCCESS),
        Command::Demo { keep } => demo::run(keep),
        Command::Test { filter } => test::run(filter.as_deref()),
        Command::Bench { json } => bench::run(json.as_deref()),
        Command::Fuzz { time, targets } => fuzz::run(time, &targets),
        Command::Check => check::run(),
    }
}
