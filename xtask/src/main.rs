//! Every developer command, one file each. A command first sets up what it needs, and says what it does.

mod bench;
mod check;
mod demo;
mod floors;
mod fuzz;
mod kernels;
mod links;
mod package;
mod setup;
mod shell;
mod test;

use std::{process::ExitCode, time::Duration};

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
    /// Measure umbra beside nginx and Envoy in one run: latency, CPU, memory, dead shadows
    ///
    /// Each case stands in a network namespace of its own with the same app, and takes its turn in every round. The
    /// proxy, whichever it is, has the last processor to itself and one worker; clients, apps and shadows have the
    /// others. Small GETs come in an open loop at a tenth of what the app alone can answer, where a late request is
    /// measured from when it was due (umbra-load, of tests/bench/load), or at full speed (wrk).
    ///
    /// The proxy's CPU is that of all its threads until the last copy has ended. Figures are medians of the rounds;
    /// ratios are taken within a round. Each row says what is wanted and whether it was found. A run of everything
    /// takes twenty minutes: `--only latency --rounds 3` a minute. The end is a table of targets, each with what was measured.
    ///
    /// Fails when the run was not what it says (a bad answer, a request that umbra did not read or offer, books that
    /// do not balance), never because of a figure.
    Bench(bench::Options),
    /// Run the suite `kernels` in Debian's kernels 5.10, 6.1, 6.12 and the newest, each in an emulated machine
    ///
    /// The programs are loaded, every kind of app is mirrored with real requests, and the agent is killed. What a
    /// machine's console said is kept in target/kernels.
    Kernels {
        /// Only these: 5.10, 6.1, 6.12, newest
        only: Vec<String>,
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
    /// Build what users are given: static binary, image, Debian package, manual pages, completions, SBOM, checksums
    ///
    /// In target/package, for this machine's architecture and for the other one where it can be built here. Neither a
    /// container engine nor a registry nor root is needed. Read the image with `docker load`, `podman load`,
    /// `ctr images import` or skopeo.
    Package(package::Options),
    /// Formatting, lints, documentation, floors, dependencies
    Check,
}

fn main() -> Result<ExitCode> {
    match Cli::parse().command {
        Command::Setup => setup::run(setup::For::Tests).map(|_| ExitCode::SUCCESS),
        Command::Demo { keep } => demo::run(keep),
        Command::Test { filter } => test::run(filter.as_deref()),
        Command::Bench(options) => bench::run(&options),
        Command::Kernels { only } => kernels::run(&only),
        Command::Fuzz { time, targets } => fuzz::run(time, &targets),
        Command::Package(options) => package::run(&options),
        Command::Check => check::run(),
    }
}
