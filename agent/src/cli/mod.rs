//! The command line: one file per command. Exit codes: 0 fine, 1 findings or failure, 2 wrong usage.

mod agent;
mod check;
mod completion;
mod config;
mod doctor;
mod level;
mod log;
mod man;
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
mod top;
mod view;

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};

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
    /// How a line of the log is written.
    #[arg(long, global = true, env = "UMBRA_LOG_FORMAT", value_enum, default_value_t = log::Format::Text, value_name = "FORMAT")]
    log_format: log::Format,
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
    /// Show the routes of a running agent over and over: requests beside copies, rates, failures, percentiles.
    Top(top::Arguments),
    /// Show requests as they end, with their copies, of a running agent.
    Tap(tap::Arguments),
    /// Show the configuration of a running agent.
    Config(config::Arguments),
    /// Show what a running agent logs, or change it until it ends.
    Log(level::Arguments),
    /// Stop sending copies, to some mirrors or to all; the primary goes on.
    Pause(switch::Arguments),
    /// Send copies again.
    Resume(switch::Arguments),
    /// Print the JSON Schema of AgentConfig and ShadowPolicy, for editors.
    Schema(schema::Arguments),
    /// Print what a shell needs to complete these commands.
    Completion(completion::Arguments),
    /// Write manual pages of all commands, for packages.
    #[command(hide = true)]
    Man(man::Arguments),
}

/// How a command answers: for a person or for a program.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    Text,
    Json,
}

/// What was asked for; wrong usage ends the program here.
fn arguments() -> Arguments {
    let program = std::env::args_os().next().map(PathBuf::from);
    let name = program.as_ref().and_then(|path| path.file_name()?.to_str()).unwrap_or("umbra");
    Arguments::from_arg_matches(&command(name).get_matches()).unwrap_or_else(|error| error.exit())
}

/// All commands, of a program of this name.
fn command(program: &str) -> clap::Command {
    Arguments::command().mut_subcommand("run", |run| run.override_usage(run::usage(program)))
}

/// Runs the command that was asked for.
pub fn main() -> ExitCode {
    let arguments = arguments();
    // Before there is a second thread.
    let kept = if let Command::Run(_) = arguments.command { privileges::keep_needed() } else { Vec::new() };
    let log = match log::start(&arguments.log, arguments.log_format) {
        Ok(log) => log,
        Err(error) => {
            tell(&error);
            return ExitCode::from(2);
        }
    };
    kept.iter().for_each(|what| tracing::debug!("kept: {what}"));
    let done = match arguments.command {
        Command::Run(run) => run.execute(log.of_agent()),
        Command::Check(check) => check.execute(),
        Command::Match(request) => request.execute(),
        Command::Doctor(doctor) => doctor.execute(),
        Command::Status(status) => status.execute(),
        Command::Routes(routes) => routes.execute(),
        Command::Mirrors(mirrors) => mirrors.execute(),
        Command::Top(top) => top.execute(),
        Command::Tap(tap) => tap.execute(),
        Command::Config(config) => config.execute(),
        Command::Log(level) => level.execute(),
        Command::Pause(switch) => switch.execute(Switch::Pause),
        Command::Resume(switch) => switch.execute(Switch::Resume),
        Command::Schema(schema) => schema.execute(),
        Command::Completion(completion) => completion.execute(),
        Command::Man(man) => man.execute(),
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
