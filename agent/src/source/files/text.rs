//! Bytes of a source to text: no more than can be a configuration, and without waiting for what never comes.

use std::{
    fs::{File, OpenOptions},
    io::{self, ErrorKind, Read},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use nix::fcntl::OFlag;

use crate::config::{Code, MAX_BYTES};

/// How long a pipe may be without a writer before its first byte.
const NOBODY: Duration = Duration::from_millis(900);
/// How long a pipe's writer may say nothing: it may be asking a cluster.
const SILENCE: Duration = Duration::from_secs(30);

/// Why a source cannot be read.
#[derive(Debug)]
pub(super) struct Unreadable {
    pub(super) code: Code,
    pub(super) message: String,
    pub(super) line: u32,
    pub(super) hint: Option<&'static str>,
}

impl From<String> for Unreadable {
    fn from(message: String) -> Self {
        Self { code: Code::Unreadable, message, line: 1, hint: None }
    }
}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Self {
        error.to_string().into()
    }
}

/// All of a source, which may grow meanwhile, or have no end.
pub(super) fn text(source: impl Read) -> Result<Arc<str>, Unreadable> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX) + 1;
    source.take(limit).read_to_end(&mut bytes)?;
    if bytes.len() > MAX_BYTES {
        return Err(Unreadable {
            code: Code::Unreadable,
            message: format!("it is larger than {} MiB", MAX_BYTES >> 20),
            line: 1,
            hint: Some("split it; a directory of files is read as one configuration"),
        });
    }
    let utf16 = bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff");
    String::from_utf8(bytes).map(Arc::from).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count();
        let hint = if utf16 { "it looks like UTF-16: save it as UTF-8" } else { "save it as UTF-8" };
        Unreadable {
            code: Code::Unreadable,
            message: format!("line {line} is not UTF-8"),
            line: u32::try_from(line).unwrap_or(u32::MAX),
            hint: Some(hint),
        }
    })
}

/// A pipe, read as long as somebody writes to it: opening one the usual way waits for a writer for ever.
#[derive(Debug)]
pub(super) struct Pipe {
    file: File,
    begun: bool,
}

impl Pipe {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
        Ok(Self { file, begun: false })
    }
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let started = Instant::now();
        loop {
            let read = self.file.read(buffer);
            // Without a writer a pipe reads as ended, with a silent one as not ready (pipe(7)).
            let (patience, why) = match &read {
                Ok(0) if !self.begun => (NOBODY, "nobody writes to this pipe"),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    (SILENCE, "whoever writes to this pipe says nothing")
                }
                _ => {
                    self.begun = true;
                    return read;
                }
            };
            if started.elapsed() > patience {
                return Err(io::Error::new(ErrorKind::TimedOut, why));
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}
