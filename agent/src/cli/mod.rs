//! The command line: one file per command. Exit codes: 0 fine, 1 findings or failure, 2 wrong usage.

mod agent;
mod check;
mod config;
mod doctor;
mod log;
mod matches;
mod mirrors;
mod out;
mod quick;
mod routes;
mod run;
mod schema;
mod status;
mod switch;
mod table;
mod tap;
mod view;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::{Parser, Subcommand, ValueEnum};

use crate::process::privileges;
use switch::Switch;

/// Mirrors live HTTP traffic to shadow services, following Istio's rules. No sidecars, no change to applications.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// What to log, on standard error: error, warn, info, debug, or targets such as umbra=debug.
    #[arg(long, global = true, env = "RUST_LOG", default_value = "info", value_name = "LEVEL")]
    log: String,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Mirror traffic until told to stop (SIGTERM or Ctrl-C drain, SIGHUP reloads).
    Run(run::Arguments),
    /// Find every fault in configuration files, without running anything.
    Check(check::Arguments),
    /// Tell what the rules would do with a request, and why, without running anything.
    Match(matches::Arguments),
    /// Tell whether this machine can capture traffic, and what happens where it cannot.
    Doctor(doctor::Arguments),
    /// Show whether a running agent captures: each namespace, how its apps are reached, and why not where not.
    Status(status::Arguments),
    /// Show the rules that a running agent has in force.
    Routes(routes::Arguments),
    /// Show the mirrors of a running agent: share, rate, outcomes by reason, last error.
    Mirrors(mirrors::Arguments),
    /// Show requests as they end, with their copies, of a running agent.
    Tap(tap::Arguments),
    /// Show the configuration of a running agent.
    Config(config::Arguments),
    /// Stop sending copies, to some mirrors or to all; the primary goes on.
    Pause(switch::Arguments),
    /// Send copies again.
    Resume(switch::Arguments),
    /// Print the JSON Schema of AgentConfig and ShadowPolicy, for editors.
    Schema(schema::Arguments),
}

/// How a command answers: for a person or for a program.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    Text,
    Json,
}

/// Runs the command that was asked for.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Before there is a second thread.
    let kept = if let Command::Run(_) = arguments.command { privileges::keep_needed() } else { Vec::new() };
    let log = match log::start(&arguments.log) {
        Ok(log) => log,
        Err(error) => {
            tell(&error);
            return ExitCode::from(2);
        }
    };
    kept.iter().for_each(|what| tracing::debug!("kept: {what}"));
    let done = match arguments.command {
        Command::Run(run) => run.execute(log.lost()),
        Command::Check(check) => check.execute(),
        Command::Match(request) => request.execute(),
        Command::Doctor(doctor) => doctor.execute(),
        Command::Status(status) => status.execute(),
        Command::Routes(routes) => routes.execute(),
        Command::Mirrors(mirrors) => mirrors.execute(),
        Command::Tap(tap) => tap.execute(),
        Command::Config(config) => config.execute(),
        Command::Pause(switch) => switch.execute(Switch::Pause),
        Command::Resume(switch) => switch.execute(Switch::Resume),
        Command::Schema(schema) => schema.execute(),
    };
    done.unwrap_or_else(|error| {
        tell(&error);
        ExitCode::FAILURE
    })
}

/// The last word of a command. A reader that is gone misses it.
fn tell(error: &anyhow::Error) {
    let _ = writeln!(io::stderr(), "umbra: {error:#}");
}
