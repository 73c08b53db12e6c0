//! Where audit lines go: standard output, or a file that is followed by another one when it is full. A file holds whole
//! lines only, also when the disk is full in the middle of one.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::{
        fd::AsFd as _,
        unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _},
    },
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::config::umbra::{Audit, AuditTo};

/// How often it is looked whether somebody has moved the file away, as logrotate does.
const LOOK: Duration = Duration::from_secs(1);

pub(super) struct Log {
    out: Option<File>,
    /// None: standard output.
    path: Option<PathBuf>,
    /// Of a regular file.
    size: Option<u64>,
    max_size: u64,
    keep: usize,
    looked: Instant,
}

impl Log {
    pub(super) fn open(config: &Audit) -> io::Result<Self> {
        let (out, path) = match &config.to {
            AuditTo::Stdout => (File::from(io::stdout().as_fd().try_clone_to_owned()?), None),
            AuditTo::File(path) => (open(path)?, Some(path.clone())),
        };
        let max_size = config.max_size as u64;
        let size = if path.is_some() { size(&out)? } else { None };
        Ok(Self { out: Some(out), path, size, max_size, keep: config.keep, looked: Instant::now() })
    }

    /// Writes lines. How many bytes of them, whole lines all, are there now, and what went wrong before the others were.
    pub(super) fn write(&mut self, lines: &[u8]) -> (usize, Option<io::Error>) {
        if let Err(error) = self.prepare(lines.len() as u64) {
            return (0, Some(error));
        }
        let Some(out) = &mut self.out else { return (0, Some(io::ErrorKind::NotFound.into())) };
        let (written, error) = write(out, lines);
        let whole = memchr::memrchr(b'\n', &lines[..written]).map_or(0, |end| end + 1);
        if let Some(size) = &mut self.size {
            *size += whole as u64;
            // Half a line would spoil the next one. An agent that follows this one may have written behind it.
            if whole < written
                && let Ok(found) = out.metadata()
            {
                let _ = out.set_len(found.len().saturating_sub((written - whole) as u64));
            }
        }
        (whole, error)
    }

    /// The file is the one of this name, and has room.
    fn prepare(&mut self, more: u64) -> io::Result<()> {
        let Some(path) = self.path.clone() else { return Ok(()) };
        if self.looked.elapsed() >= LOOK {
            self.looked = Instant::now();
            if !self.is_at(&path) {
                self.out = None;
            }
        }
        if self.size.is_some_and(|size| size > 0 && size + more > self.max_size) {
            // Another agent may have been quicker: an upgrade.
            if self.is_at(&path) {
                make_room(&path, self.keep)?;
            }
            self.out = None;
        }
        if self.out.is_none() {
            let out = open(&path)?;
            self.size = size(&out)?;
            self.out = Some(out);
        }
        Ok(())
    }

    /// Whether what is open is what is there, and as long as it was left.
    fn is_at(&mut self, path: &Path) -> bool {
        let identity = |found: &fs::Metadata| (found.dev(), found.ino());
        let open = self.out.as_ref().and_then(|out| out.metadata().ok());
        let (Some(open), Ok(there)) = (open, fs::metadata(path)) else { return false };
        self.size = self.size.map(|_| open.len());
        identity(&open) == identity(&there)
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600);
    // A pipe that nobody reads yet is no reason to wait, nor is one whose reader has left to fail.
    let is_pipe = fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo());
    options.read(is_pipe).open(path)
}

fn size(file: &File) -> io::Result<Option<u64>> {
    let found = file.metadata()?;
    Ok(found.is_file().then_some(found.len()))
}

/// `log` becomes `log.1`, and so on; the last one goes.
fn make_room(path: &Path, keep: usize) -> io::Result<()> {
    let numbered = |number: usize| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    };
    if keep == 0 {
        return fs::remove_file(path);
    }
    for number in (1..keep).rev() {
        match fs::rename(numbered(number), numbered(number + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    fs::rename(path, numbered(1))
}

/// How much was written, and why not more.
fn write(out: &mut File, bytes: &[u8]) -> (usize, Option<io::Error>) {
    let mut written = 0;
    while written < bytes.len() {
        match out.write(&bytes[written..]) {
            Ok(0) => return (written, Some(io::ErrorKind::WriteZero.into())),
            Ok(more) => written += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (written, Some(error)),
        }
    }
    (written, None)
}
