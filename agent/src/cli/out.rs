//! Standard output: where every command's answer goes, whole.

use std::io::{self, ErrorKind, Write as _};

use anyhow::Context as _;

/// Writes a command's answer. Whoever reads may have seen enough, as `head` does: that is no failure, and the exit code
/// holds all the same.
///
/// # Errors
/// When it cannot be written for another reason, such as a full disk.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("write the answer to standard output"),
    }
}
