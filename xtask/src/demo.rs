//! Shows a mirrored request. The show itself is tests/demo; here it is set up, built and started as root.

use std::{os::unix::process::CommandExt as _, process::ExitCode};

use anyhow::{Context as _, Result};

use crate::{setup, shell};

pub(crate) fn run(keep: bool) -> Result<ExitCode> {
    setup::run(setup::For::Demo)?;
    println!("▸ build the agent and the demonstration");
    shell::run(shell::cargo().args(["build", "--package", "umbra", "--package", "umbra-tests", "--bins"]))?;

    let show = shell::target_dir().join("debug/umbra-demo");
    let mut show = shell::command_as_root(&show.to_string_lossy())?;
    // In place of this process: so Ctrl-C ends the show, and the prompt returns only when it has cleaned up.
    let error = show.args(keep.then_some("--keep")).exec();
    Err(error).context("cannot start the demonstration")
}
