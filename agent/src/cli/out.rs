//! Standard output: where every command's answer goes, whole; and notes beside it, on standard error.

use std::{
    env,
    io::{self, ErrorKind, IsTerminal as _, Write as _},
    ops::ControlFlow,
};

use anyhow::Context as _;

/// Writes a command's answer. Whoever reads may have seen enough, as `head` does: that is no failure, and the exit code
/// holds all the same.
///
/// # Errors
/// When it cannot be written for another reason, such as a full disk.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    print_on(text).map(drop)
}

/// The same for an answer that goes on: breaks when nobody reads it any more.
pub(super) fn print_on(text: &str) -> anyhow::Result<ControlFlow<()>> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(ControlFlow::Break(())),
        written => {
            written.context("write the answer to standard output")?;
            Ok(ControlFlow::Continue(()))
        }
    }
}

/// What is no part of the answer.
pub(super) fn note(text: &str) {
    let _ = writeln!(io::stderr(), "umbra: {text}");
}

/// Whether the answer may have colours: on a terminal, unless `NO_COLOR` (no-color.org) is set.
pub(super) fn colours() -> bool {
    io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none_or(|no| no.is_empty())
}
