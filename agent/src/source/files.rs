//! Files and directories as a source: what is there, read as one configuration. Refuses nothing by itself but what
//! cannot be read.

mod reader;
#[cfg(test)]
mod tests;
mod text;

pub use reader::Reader;

use std::{
    collections::{BTreeMap, HashSet},
    ffi::OsStr,
    fs::{self, File},
    io,
    os::unix::fs::FileTypeExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use text::{Pipe, Unreadable, text};

use crate::config::{self, Code, Diagnostic, Location, Report, Resources, Sources};

/// Reads files, directories (every `*.yaml` and `*.yml` directly inside, by name) and `-` for standard input, in the
/// order given. Faults of one file hide none of another.
pub fn load(paths: &[PathBuf]) -> (Resources, Report, Sources) {
    let (mut resources, mut report, mut sources) =
        (Resources::default(), Report::default(), Sources::default());
    for file in files(paths) {
        add(&file, &mut resources, &mut report, &mut sources);
    }
    (resources, report, sources)
}

fn add(file: &Found, resources: &mut Resources, report: &mut Report, sources: &mut Sources) {
    match &file.text {
        Ok(text) => {
            config::read(&file.name, text, resources, report);
            sources.insert(&file.name, Arc::clone(text));
        }
        Err(why) => {
            // An unreadable file counts for the fingerprint, so that its return is seen.
            sources.insert(&file.name, "");
            let at = Location { file: file.name.as_str().into(), line: why.line, column: 1 };
            let (code, message, hint) = (Code::Unreadable, why.message.clone(), why.hint.map(str::to_owned));
            report.push(Diagnostic { code, at, object: None, message, hint });
        }
    }
}

/// The texts alone, for [`Sources::fingerprint`].
pub(super) fn contents(paths: &[PathBuf]) -> Sources {
    let mut sources = Sources::default();
    for file in files(paths) {
        sources.insert(&file.name, file.text.unwrap_or_else(|_| "".into()));
    }
    sources
}

struct Found {
    name: String,
    text: Result<Arc<str>, Unreadable>,
}

fn files(paths: &[PathBuf]) -> Vec<Found> {
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    for path in paths {
        let listed = if path.is_dir() { list(path) } else { Ok(vec![path.clone()]) };
        match listed {
            Ok(mut listed) => {
                listed.retain(|path| seen.insert(identity(path)));
                found.extend(listed.iter().map(|path| one(path)));
            }
            Err(error) => {
                let name = path.display().to_string();
                found.push(Found { text: Err(format!("cannot list {name}: {error}").into()), name });
            }
        }
    }
    found
}

/// The configuration files of a directory. A ConfigMap's mount has its files as links beside the directories `..data`
/// and `..<time>`; those and editors' backups are left out by their leading dot or their ending.
fn list(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut listed = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        let yaml = path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml");
        if yaml && !hidden && !path.is_dir() {
            listed.push(path);
        }
    }
    listed.sort();
    Ok(listed)
}

/// What two ways to the same file have in common.
fn identity(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// Texts of standard input and of pipes, which can be read only once: a reload finds them here.
static READ_ONCE: Mutex<BTreeMap<PathBuf, Arc<str>>> = Mutex::new(BTreeMap::new());

fn one(path: &Path) -> Found {
    if path == Path::new("-") {
        return Found { name: "<stdin>".into(), text: once(path, || Ok(io::stdin())) };
    }
    let name = path.display().to_string();
    let open = || File::open(path).map_err(Unreadable::from);
    let text = match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => open().and_then(text),
        Ok(metadata) if metadata.file_type().is_fifo() => once(path, || Ok(Pipe::open(path)?)),
        Ok(_) => once(path, open),
        Err(error) => Err(error.into()),
    };
    let text =
        text.map_err(|why| Unreadable { message: format!("cannot read {name}: {}", why.message), ..why });
    Found { text, name }
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
