//! What must hold for any input: one file of `targets` each, a plain function that panics when it does not. Coverage
//! guides new inputs to them in `cargo xtask fuzz`; `cargo xtask test` replays the kept ones. A new target is a file
//! and a line of [`TARGETS`].

#![allow(clippy::panic, clippy::unwrap_used, reason = "a finding is a panic")]

mod conversation;
mod peer;
mod recorder;
mod targets {
    pub(super) mod config;
    pub(super) mod frames;
    pub(super) mod http1;
    pub(super) mod http2;
    pub(super) mod messages;
    pub(super) mod objects;
    pub(super) mod openings;
    pub(super) mod regex;
    pub mod rules;
    pub(super) mod sniff;
    pub(super) mod splits;
    pub(super) mod strict;
}

use std::{
    fs,
    path::{Path, PathBuf},
};

pub use self::{
    conversation::{Step, cut, cut_by, read, steps},
    recorder::{Event, Recorder},
    targets::rules,
};

/// One thing that is fuzzed.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    pub name: &'static str,
    /// Panics when the input shows a fault.
    pub run: fn(&[u8]),
    /// Bytes of an input beyond which nothing new can happen.
    pub max_len: usize,
    /// What mutations should know of the language.
    pub words: fn() -> Vec<String>,
    /// Inputs to begin with, beside those in `corpus`.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

pub const TARGETS: &[Target] = &[
    targets::config::TARGET,
    targets::objects::TARGET,
    targets::rules::TARGET,
    targets::http1::TARGET,
    targets::messages::TARGET,
    targets::strict::TARGET,
    targets::http2::TARGET,
    targets::frames::TARGET,
    targets::sniff::TARGET,
    targets::openings::TARGET,
    targets::splits::TARGET,
    targets::regex::TARGET,
];

impl Target {
    pub fn find(name: &str) -> Option<&'static Self> {
        TARGETS.iter().find(|target| target.name == name)
    }

    /// Kept inputs: what reaches far, and every past finding.
    pub fn corpus(&self) -> PathBuf {
        here().join("corpus").join(self.name)
    }
}

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file or folder of the workspace.
fn in_workspace(path: &str) -> PathBuf {
    here().join("../..").join(path)
}

/// The contents of every file directly in a folder, with their paths, by name.
pub fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut paths: Vec<_> =
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}
