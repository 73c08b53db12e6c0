//! Single requests of a running agent as its views tell them: the live view, the last ones, the audit log. What they tell
//! is what happened, and whoever does not read, or cannot be written, costs lines and nothing else. And that the API is as
//! it is described.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a suite fails where it stands")]

mod api;
mod audit;
mod lines;
mod tap;
mod token;

use std::process::Output;

use support::Agent;

/// What a command that succeeds prints.
fn asked(agent: &Agent, arguments: &[&str]) -> String {
    let output = agent.umbra(arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", complained(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn complained(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
