//! Which files are as they were when they were read, told without opening them.

use std::{
    collections::HashMap,
    fs::Metadata,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// How long a file must have rested: file systems count time in ticks, and two writes within one have one time.
const REST: Duration = Duration::from_secs(2);

/// What was made of each file's text, as long as the file is the same. Where stat(2) is answered from a cache, as NFS
/// does for up to a minute, a change is seen that much later.
#[derive(Debug)]
pub(in crate::source) struct Seen<T>(HashMap<PathBuf, (Stamp, T)>);

/// Another one after every write, once the file has rested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl<T> Default for Seen<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T: Clone> Seen<T> {
    /// What was made of the file, if it has not changed since.
    pub(super) fn get(&self, path: &Path, stamp: Option<Stamp>) -> Option<T> {
        let (known, made) = self.0.get(path)?;
        (Some(*known) == stamp).then(|| made.clone())
    }

    pub(super) fn keep(&mut self, path: PathBuf, stamp: Stamp, made: T) {
        self.0.insert(path, (stamp, made));
    }
}

impl Stamp {
    /// None for what is no plain file, and for one that was changed just now.
    pub(super) fn of(metadata: &Metadata, now: SystemTime) -> Option<Self> {
        let changed = (metadata.ctime(), metadata.ctime_nsec());
        let since = UNIX_EPOCH + Duration::from_secs(u64::try_from(changed.0).ok()?);
        let rests = metadata.is_file() && now.duration_since(since).is_ok_and(|rest| rest > REST);
        rests.then(|| Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_that_rests_is_known_until_it_is_written_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.yaml");
        let later = |extra| SystemTime::now() + Duration::from_secs(extra);
        let stamp = |now| Stamp::of(&fs::metadata(&path).unwrap(), now);
        fs::write(&path, "one").unwrap();
        assert_eq!(stamp(later(0)), None, "it may be written again within the same tick");
        let mut seen = Seen::default();
        seen.keep(path.clone(), stamp(later(60)).unwrap(), "made");
        assert_eq!(seen.get(&path, stamp(later(60))), Some("made"));
        let replacement = directory.path().join("b");
        fs::write(&replacement, "two").unwrap();
        fs::rename(&replacement, &path).unwrap();
        assert_eq!(seen.get(&path, stamp(later(60))), None);
    }

    #[test]
    fn what_is_no_file_is_never_known() {
        let later = SystemTime::now() + Duration::from_secs(60);
        assert_eq!(Stamp::of(&fs::metadata("/dev/null").unwrap(), later), None);
        assert_eq!(Stamp::of(&fs::metadata("/tmp").unwrap(), later), None);
    }
}
