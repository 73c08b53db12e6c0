//! The kernel matrix: the suite `kernels` in Debian's kernels, each in a machine that qemu emulates. Nothing of this
//! machine's kernel is used, so that it runs wherever the tests do; two or three minutes for each kernel.

mod machine;
mod package;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Mutex,
    thread,
};

use anyhow::{Context as _, Result};

use self::{
    machine::{Machine, Programs},
    package::Kernel,
};
use crate::{setup, shell, test};

/// Oldest first; the last is the newest that Debian has.
const SUITES: &[(&str, &[&str])] = &[
    ("5.10", &["bullseye", "bullseye-security"]),
    ("6.1", &["bookworm", "bookworm-security"]),
    ("6.12", &["trixie", "trixie-security"]),
    ("newest", &["sid"]),
];
/// Each emulated machine keeps one processor busy.
const AT_ONCE: usize = 2;

pub(crate) fn run(only: &[String]) -> Result<ExitCode> {
    setup::run(setup::For::Kernels)?;
    println!("▸ build the agent and the suite");
    // As the tests build it: what both compile is compiled once.
    shell::run(shell::cargo().args(["build", "--quiet", "--workspace", "--all-targets"]))?;
    let programs = Programs {
        agent: shell::target_dir().join("debug/umbra"),
        suite: test::executable("kernels")?,
        pressure: test::executable("pressure")?,
    };
    let dir = shell::target_dir().join("kernels");

    let wanted = |name: &str| only.is_empty() || only.iter().any(|only| only == name);
    let mut waiting = Vec::new();
    for (name, suites) in SUITES.iter().rev().filter(|(name, _)| wanted(name)) {
        let kernel = Kernel::fetch(&dir.join(name), suites).with_context(|| format!("kernel {name}"))?;
        waiting.push(Machine::prepare(&dir.join(name), kernel, &programs)?);
    }
    println!("▸ {} kernels, {AT_ONCE} at a time", waiting.len());
    let (waiting, done) = (Mutex::new(waiting), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(machine) = take(&waiting) {
                    let ran = machine.run();
                    if let Ok(mut done) = done.lock() {
                        done.push(ran);
                    }
                }
            });
        }
    });
    let mut all_passed = true;
    let mut done = done.into_inner().unwrap_or_default();
    done.reverse();
    println!();
    for ran in done {
        let ran = ran?;
        all_passed &= ran.passed();
        println!("{ran}");
    }
    Ok(if all_passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn take(waiting: &Mutex<Vec<Machine>>) -> Option<Machine> {
    waiting.lock().ok()?.pop()
}

/// The one file in the tree of which this is true.
fn find(tree: &Path, is_wanted: &dyn Fn(&str) -> bool) -> Option<PathBuf> {
    for entry in fs::read_dir(tree).ok()?.flatten() {
        let (path, kind) = (entry.path(), entry.file_type().ok()?);
        if kind.is_dir() {
            if let Some(found) = find(&path, is_wanted) {
                return Some(found);
            }
        } else if kind.is_file() && is_wanted(&entry.file_name().to_string_lossy()) {
            return Some(path);
        }
    }
    None
}
