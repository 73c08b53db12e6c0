//! Measures the agent beside nginx. The bench itself is tests/bench; here it is set up, built and started as root.

use std::{
    ffi::OsString,
    os::unix::process::CommandExt as _,
    path::{Path, absolute},
    process::ExitCode,
};

use anyhow::{Context as _, Result};

use crate::{setup, shell};

pub(crate) fn run(json: Option<&Path>) -> Result<ExitCode> {
    setup::run(setup::For::Bench)?;
    println!("▸ build the agent for release, and the bench");
    shell::run(shell::cargo().args(["build", "--release", "--package", "umbra"]))?;
    // Not for release, where a panic aborts: the bench must unwind, for it takes down what it made as it goes.
    shell::run(shell::cargo().args(["build", "--package", "umbra-tests", "--bin", "umbra-bench"]))?;

    // `env` carries the variable through sudo.
    let mut bench = shell::command_as_root("env")?;
    let mut agent = OsString::from("UMBRA_BINARY=");
    agent.push(shell::target_dir().join("release/umbra"));
    bench.arg(agent).arg(shell::target_dir().join("debug/umbra-bench"));
    if let Some(json) = json {
        // The bench is started in the workspace's root, which need not be where the person is.
        bench.arg("--json").arg(absolute(json)?);
    }
    // In place of this process: so Ctrl-C ends the bench, and the prompt returns only when it has cleaned up.
    let error = bench.exec();
    Err(error).context("cannot start the bench")
}
