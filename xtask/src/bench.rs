//! Measures the agent beside nginx and Envoy. The bench itself is tests/bench; here it is set up, built and started as
//! root. It is measured as it is packed for people, linked statically.

use std::{
    ffi::OsString,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf, absolute},
    process::ExitCode,
};

use anyhow::{Context as _, Result};
use clap::Args;

use crate::{package, setup, shell};

/// Those that the README shows.
const CHARTS: &str = "tests/bench/charts";

#[derive(Args)]
pub(crate) struct Options {
    /// Also write all figures there, those of each round too, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Also draw the charts of what was measured there, as SVG
    #[arg(long, value_name = "DIR")]
    charts: Option<PathBuf>,
    /// Also put the results and the charts into the README
    #[arg(long, conflicts_with_all = ["only", "charts"])]
    readme: bool,
    /// Also tell where the CPU time goes, of umbra and its peers: a profile for each there, as text
    #[arg(long, value_name = "DIR")]
    profile: Option<PathBuf>,
    /// Only the rows whose name begins so: dead, cpu-plain, latency, saturated …; may be repeated
    #[arg(long, value_name = "ROW")]
    only: Vec<String>,
    /// Measure another build of umbra beside this one
    #[arg(long, value_name = "BINARY")]
    also: Option<PathBuf>,
    /// How often each case takes its turn; figures are medians of that many
    #[arg(long, default_value = "5")]
    rounds: u32,
    /// How long a turn takes
    #[arg(long, default_value = "2")]
    seconds: u32,
    /// Small GETs per second in the open loop, instead of a tenth of what the app alone can
    #[arg(long)]
    rate: Option<u32>,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    setup::run(setup::For::Bench)?;
    let envoy = setup::envoy::binary()?;
    let agent = package::for_bench(options.profile.is_some())?;
    println!("▸ build the load for release, and the bench");
    shell::run(shell::cargo().args([
        "build",
        "--release",
        "--package",
        "umbra-tests",
        "--bin",
        "umbra-load",
    ]))?;
    // Not for release, where a panic aborts: the bench must unwind, for it takes down what it made as it goes.
    shell::run(shell::cargo().args(["build", "--package", "umbra-tests", "--bin", "umbra-bench"]))?;

    // `env` carries the variables through sudo.
    let mut bench = shell::command_as_root("env")?;
    bench.arg(variable("UMBRA_BINARY", &agent));
    bench.arg(variable("UMBRA_LOAD", &shell::target_dir().join("release/umbra-load")));
    bench.arg(variable("UMBRA_BENCH_ENVOY", &envoy));
    bench.arg(shell::target_dir().join("debug/umbra-bench"));
    let Options { json, charts, readme, profile, only, also, rounds, seconds, rate } = options;
    bench.args(["--rounds", &rounds.to_string(), "--seconds", &seconds.to_string()]);
    for row in only {
        bench.args(["--only", row]);
    }
    if let Some(rate) = rate {
        bench.args(["--rate", &rate.to_string()]);
    }
    if *readme {
        bench.arg("--readme").arg(shell::root().join("README.md"));
        bench.arg("--charts").arg(shell::root().join(CHARTS));
    }
    for (option, file) in [("--json", json), ("--charts", charts), ("--profile", profile), ("--also", also)] {
        if let Some(file) = file {
            // The bench is started in the workspace's root, which need not be where the person is.
            bench.arg(option).arg(absolute(file)?);
        }
    }
    // In place of this process: so Ctrl-C ends the bench, and the prompt returns only when it has cleaned up.
    let error = bench.exec();
    Err(error).context("cannot start the bench")
}

fn variable(name: &str, value: &Path) -> OsString {
    let mut variable = OsString::from(format!("{name}="));
    variable.push(value);
    variable
}
