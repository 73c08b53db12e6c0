//! Every developer command, one file each. A command first sets up what it needs, and says what it does.

mod check;
mod demo;
mod floors;
mod setup;
mod shell;
mod test;

use std::process::ExitCode;

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
    /// Formatting, lints, documentation, floors, dependencies
    Check,
}

fn main() -> Result<ExitCode> {
    match Cli::parse().command {
        Command::Setup => setup::run(setup::For::Tests).map(|_| ExitCode::SUCCESS),
        Command::Demo { keep } => demo::run(keep),
        Command::Test { filter } => test::run(filter.as_deref()),
        Command::Check => check::run(),
    }
}
