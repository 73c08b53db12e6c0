//! Files and directories as a source: what is there, read as one configuration. Refuses nothing by itself but what
//! cannot be read.

mod reader;
mod seen;
#[cfg(test)]
mod tests;
mod text;

pub use reader::Reader;
pub(super) use seen::Seen;

use std::{
    collections::{BTreeMap, HashSet},
    ffi::OsStr,
    fs::{self, File, Metadata},
    io,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use seen::Stamp;
use text::{Pipe, Unreadable, text};

use crate::config::{self, Code, Diagnostic, Location, Report, Resources, Sources};

/// Reads files, directories (every `*.yaml` and `*.yml` directly inside, by name) and `-` for standard input, in the
/// order given. Faults of one file hide none of another.
pub fn load(paths: &[PathBuf]) -> (Resources, Report, Sources) {
    let (mut resources, mut report, mut sources) =
        (Resources::default(), Report::default(), Sources::default());
    for file in files(paths, &mut Seen::default(), |text| text) {
        add(&file, &mut resources, &mut report, &mut sources);
    }
    (resources, report, sources)
}

fn add(file: &Found<Arc<str>>, resources: &mut Resources, report: &mut Report, sources: &mut Sources) {
    match &file.made {
        Ok(text) => {
            config::read(&file.name, text, resources, report);
            sources.insert(&file.name, Arc::clone(text));
        }
        Err(why) => {
            // An unreadable file counts for the fingerprint, so that its return is seen.
            sources.insert(&file.name, "");
            let at = Location { file: file.name.as_str().into(), line: why.line, column: 1 };
            let (code, message, hint) = (why.code, why.message.clone(), why.hint.map(str::to_owned));
            report.push(Diagnostic { code, at, object: None, message, hint });
        }
    }
}

/// [`Sources::fingerprint`] of what is there now.
pub(super) fn fingerprint(paths: &[PathBuf], seen: &mut Seen<u64>) -> u64 {
    let found = files(paths, seen, |text| config::digest(&text));
    let digests = found.iter().map(|file| {
        let nothing = || config::digest("");
        (file.name.as_str(), file.made.as_ref().map_or_else(|_| nothing(), |digest| *digest))
    });
    config::fingerprint(&digests.collect())
}

struct Found<T> {
    name: String,
    /// What was made of its text.
    made: Result<T, Unreadable>,
}

/// Every file, in order; `make` is asked for what has changed since `seen`, which is then of now.
fn files<T: Clone>(paths: &[PathBuf], seen: &mut Seen<T>, make: impl Fn(Arc<str>) -> T) -> Vec<Found<T>> {
    let (mut known, mut found, mut now) = (HashSet::new(), Vec::new(), Seen::default());
    // Before anything is read: what is written meanwhile counts as young.
    let start = SystemTime::now();
    for path in paths {
        let listed = if path.is_dir() { list(path) } else { Ok(vec![path.clone()]) };
        let listed = listed.unwrap_or_else(|error| {
            let name = path.display().to_string();
            found.push(Found { made: Err(format!("cannot list {name}: {error}").into()), name });
            Vec::new()
        });
        if let Some(nothing) = nothing_in(path, &listed) {
            found.push(nothing);
        }
        for path in listed {
            let metadata = fs::metadata(&path);
            if !known.insert(identity(&path, metadata.as_ref().ok())) {
                continue;
            }
            let stamp = metadata.as_ref().ok().and_then(|metadata| Stamp::of(metadata, start));
            let made = match seen.get(&path, stamp) {
                Some(made) => Ok(made),
                None => read(&path, metadata).map(&make),
            };
            if let (Ok(made), Some(stamp)) = (&made, stamp) {
                now.keep(path.clone(), stamp, made.clone());
            }
            let name = if path == Path::new("-") { "<stdin>".into() } else { path.display().to_string() };
            found.push(Found { name, made });
        }
    }
    *seen = now;
    found
}

/// The configuration files of a directory. A ConfigMap's mount has its files as links beside the directories `..data`
/// and `..<time>`; those and editors' backups are left out by their leading dot or their ending.
fn list(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut listed = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let path = entry.path();
        let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        let yaml = path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml");
        let kind = entry.file_type()?;
        let is_directory = if kind.is_symlink() { path.is_dir() } else { kind.is_dir() };
        if yaml && !hidden && !is_directory {
            listed.push(path);
        }
    }
    listed.sort();
    Ok(listed)
}

/// What is said of a directory of which no file is read.
fn nothing_in<T>(directory: &Path, listed: &[PathBuf]) -> Option<Found<T>> {
    // One that cannot be listed was reported.
    let mut beside = fs::read_dir(directory).ok().filter(|_| listed.is_empty())?.flatten();
    let passed_over = |entry: &fs::DirEntry| {
        let path = entry.path();
        path.is_dir() || path.extension().is_some_and(|ending| ending == "json")
    };
    let name = directory.display().to_string();
    let hint = "only files *.yaml and *.yml directly inside are read: name the directories and .json files in it themselves";
    let nothing = Unreadable {
        code: Code::NothingRead,
        message: format!("{name} has no file *.yaml or *.yml: nothing is read from it"),
        line: 1,
        hint: beside.any(|entry| passed_over(&entry)).then_some(hint),
    };
    Some(Found { name, made: Err(nothing) })
}

/// What two ways to the same file have in common.
#[derive(PartialEq, Eq, Hash)]
enum Identity {
    /// Device and inode.
    File(u64, u64),
    /// Nothing is there.
    Path(PathBuf),
}

fn identity(path: &Path, metadata: Option<&Metadata>) -> Identity {
    match metadata {
        Some(metadata) => Identity::File(metadata.dev(), metadata.ino()),
        None => Identity::Path(path.to_owned()),
    }
}

/// Texts of standard input and of pipes, which can be read only once: a reload finds them here.
static READ_ONCE: Mutex<BTreeMap<PathBuf, Arc<str>>> = Mutex::new(BTreeMap::new());

fn read(path: &Path, metadata: io::Result<Metadata>) -> Result<Arc<str>, Unreadable> {
    if path == Path::new("-") {
        return once(path, || Ok(io::stdin()));
    }
    let open = || File::open(path).map_err(Unreadable::from);
    let read = match metadata {
        Ok(metadata) if metadata.is_file() => open().and_then(text),
        Ok(metadata) if metadata.file_type().is_fifo() => once(path, || Ok(Pipe::open(path)?)),
        Ok(_) => once(path, open),
        Err(error) => Err(error.into()),
    };
    read.map_err(|why| {
        let message = format!("cannot read {}: {}", path.display(), why.message);
        Unreadable { message, ..why }
    })
}

fn once<R: io::Read>(
    path: &Path,
    open: impl FnOnce() -> Result<R, Unreadable>,
) -> Result<Arc<str>, Unreadable> {
    // Held while reading, so that two loads at once do not share one pipe's text between them.
    let mut kept = READ_ONCE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(text) = kept.get(path) {
        return Ok(text.clone());
    }
    // Not before: nobody may be writing to the pipe any more.
    let read = text(open()?)?;
    kept.insert(path.to_owned(), read.clone());
    Ok(read)
}

/// The directories in which a change of `paths` shows: the files' own would miss editors that write a new file, and
/// ConfigMaps, which swap a link.
pub(super) fn directories(paths: &[PathBuf]) -> HashSet<PathBuf> {
    let parent = |path: &Path| match path.parent() {
        Some(parent) if parent.as_os_str() != OsStr::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let watched = paths.iter().filter(|path| path.as_path() != Path::new("-"));
    watched.map(|path| if path.is_dir() { path.clone() } else { parent(path) }).collect()
}
