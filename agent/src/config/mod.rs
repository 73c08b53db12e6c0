//! Exactly what was written: Kubernetes-style documents read into plain structs, each value with its place.
//! Nothing here gives meaning; `route` does that. Every fault is collected, none ends the reading.

mod decode;
pub mod diagnostics;
mod explain;
mod field;
mod fields;
mod file;
pub mod gateway;
mod honoured;
pub mod istio;
mod kinds;
pub mod kubernetes;
mod labels;
mod read;
mod render;
mod sarif;
mod schema;
pub mod shadow_policy;
#[cfg(test)]
mod testing;
mod typed;
pub mod umbra;
mod values;
mod written;

pub use decode::MAX_BYTES;
pub use diagnostics::{Code, Diagnostic, Report, Severity};
pub use file::FileName;
pub use labels::Labels;
pub use read::{Resources, read, read_part};
pub use render::{Sources, digest, fingerprint};
pub use schema::SCHEMA;
pub use written::Document;

use std::{fmt, ops::Deref};

/// A place in a configuration source. Lines and columns count from 1.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// The path as the user gave it, or a name such as `<command line>`.
    pub file: FileName,
    pub line: u32,
    pub column: u32,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// A value and where it was written. Two are equal when their values are, wherever they stand.
#[derive(Clone, Debug)]
pub struct Located<T> {
    pub value: T,
    pub at: Location,
}

impl<T> Deref for Located<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Eq> Eq for Located<T> {}

impl<T: PartialEq> PartialEq for Located<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

/// The part of `metadata` that has meaning here. `namespace` is `default` where none was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    pub name: Located<String>,
    pub namespace: String,
    pub labels: Labels,
    /// `metadata.creationTimestamp`, as written (RFC 3339 sorts as text); orders resources for the same host.
    pub created: Option<String>,
}

impl Meta {
    /// `namespace/name`
    pub fn qualified(&self) -> String {
        format!("{}/{}", self.namespace, self.name.value)
    }
}
