//! Open files, against their limit (RLIMIT_NOFILE).

use std::{
    fs, io,
    os::{fd::RawFd, unix::fs::MetadataExt as _},
    sync::atomic::{AtomicI32, Ordering::Relaxed},
};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

const OPEN: &str = "/proc/self/fd";

/// The lowest number that is kept for primaries. One for the process, as its descriptors are.
static FOR_PRIMARIES: AtomicI32 = AtomicI32::new(RawFd::MAX);

/// From this number on descriptors are for primaries alone. The kernel gives the lowest that is free, so one above says
/// that all below are in use.
pub fn keep_for_primaries(from: u64) {
    FOR_PRIMARIES.store(i32::try_from(from).unwrap_or(RawFd::MAX), Relaxed);
}

/// Whether a descriptor just given is one that copies must leave.
pub fn is_for_primaries(descriptor: RawFd) -> bool {
    descriptor >= FOR_PRIMARIES.load(Relaxed)
}

/// How many may be open; it may change while the process runs.
pub fn limit() -> u64 {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft)
}

/// A connection takes two descriptors, and one that finds none is reset: the usual soft limit of 1024 would hurt the
/// primary from the 500th on. It exists for programs that use `select`, which this one does not.
///
/// # Errors
/// When the limit cannot be raised.
pub fn take_all() -> io::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?)
}

/// How many are open, where the kernel knows (Linux 6.2).
pub fn told() -> Option<u64> {
    let size = fs::metadata(OPEN).ok()?.size();
    // Older ones say 0, and at least the three standard streams are open.
    (size > 0).then_some(size)
}

/// How many are open, one by one: some 30 ms for 100,000 of them. Without a descriptor to count with, all are.
pub fn counted() -> u64 {
    fs::read_dir(OPEN).map_or(u64::MAX, |open| open.count() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_counting_notice_what_is_opened() {
        let ways: [fn() -> u64; 2] = [counted, || told().unwrap_or_else(counted)];
        for count in ways {
            let before = count();
            let open: Vec<_> = (0..200).map(|_| fs::File::open("/dev/null").unwrap()).collect();
            // Other tests open and close files too.
            assert!(count() > before + 100 && count() < limit(), "{before}");
            drop(open);
        }
    }
}
