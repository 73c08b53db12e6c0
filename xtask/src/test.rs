//! Builds every test and runs one test binary after the other, as root: suites share the kernel's tables and the
//! machine's clock. Ends with the sum over all of them.

use std::{
    ffi::OsString,
    fmt,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::{package, setup, shell};

/// The suite that takes apart what `cargo xtask package` makes.
const PACKAGE_SUITE: &str = "tests: test package";

pub(crate) fn run(filter: Option<&str>) -> Result<ExitCode> {
    setup::run(setup::For::Tests)?;
    println!("▸ build the agent and all tests");
    let suites = build()?;
    for suite in &suites {
        if suite.name == PACKAGE_SUITE && suite.has(filter)? {
            package::for_tests()?;
        }
    }

    let mut ran = Vec::new();
    for suite in suites {
        let started = Instant::now();
        let (tally, failures) = run_binary(&suite.name, &mut suite.command(filter)?)?;
        ran.push(Ran { name: suite.name, tally, failures, took: started.elapsed() });
    }
    let started = Instant::now();
    let name = "examples in the documentation".to_owned();
    let mut doc = shell::cargo();
    doc.args(["test", "--workspace", "--doc", "--quiet", "--no-fail-fast", "--"]).args(filter);
    let (tally, failures) = run_binary(&name, &mut doc)?;
    ran.push(Ran { name, tally, failures, took: started.elapsed() });

    Ok(close(&ran, filter))
}

/// One test binary.
struct Suite {
    name: String,
    executable: PathBuf,
    package_dir: PathBuf,
}

impl Suite {
    /// Whether one of its tests is to run.
    fn has(&self, filter: Option<&str>) -> Result<bool> {
        let tests =
            shell::output(shell::command(&self.executable.to_string_lossy()).args(filter).arg("--list"))?;
        Ok(tests.lines().any(|line| line.ends_with(": test")))
    }

    fn command(&self, filter: Option<&str>) -> Result<Command> {
        let mut command = shell::command_as_root("env")?;
        // What cargo would set; `env` carries it through sudo.
        let mut manifest_dir = OsString::from("CARGO_MANIFEST_DIR=");
        manifest_dir.push(&self.package_dir);
        command.current_dir(&self.package_dir).arg(manifest_dir).arg(&self.executable).args(filter);
        Ok(command)
    }
}

/// Builds everything, the agent the suites run included, and lists the test binaries: unit tests first, then the
/// suites of the tests package.
fn build() -> Result<Vec<Suite>> {
    let mut cargo = shell::cargo();
    cargo.args(["build", "--workspace", "--all-targets", "--message-format=json-render-diagnostics"]);
    let messages = shell::output(&mut cargo).context("the workspace does not build")?;
    let mut suites = messages.lines().filter_map(suite).collect::<Vec<_>>();
    if suites.is_empty() {
        bail!("cargo built no test binary");
    }
    suites.sort_by_key(|suite| (suite.package_dir.ends_with("tests"), suite.name.clone()));
    Ok(suites)
}

/// Builds one suite of the tests package, and tells where it is.
pub(crate) fn executable(name: &str) -> Result<PathBuf> {
    let mut cargo = shell::cargo();
    // The whole workspace, for packages built alone have other features, and are built anew.
    cargo.args(["build", "--workspace", "--test", name]);
    let messages = shell::output(cargo.arg("--message-format=json-render-diagnostics"))?;
    let built = messages.lines().filter_map(suite).next();
    Ok(built.with_context(|| format!("cargo built no suite {name}"))?.executable)
}

fn suite(message: &str) -> Option<Suite> {
    let message: Value = serde_json::from_str(message).ok()?;
    let is_test = message["profile"]["test"].as_bool()?;
    let executable = PathBuf::from(message["executable"].as_str()?);
    let package_dir = Path::new(message["manifest_path"].as_str()?).parent()?.to_owned();
    let target = message["target"]["name"].as_str()?;
    let kind = message["target"]["kind"][0].as_str()?;
    let package = package_dir.file_name()?.to_str()?.to_owned();
    is_test.then(|| Suite { name: format!("{package}: {kind} {target}"), executable, package_dir })
}

/// What one test binary reported.
struct Ran {
    name: String,
    tally: Tally,
    failures: Failures,
    took: Duration,
}

/// Runs a test binary, shows what it says, and counts what it reports. One without tests says nothing.
fn run_binary(name: &str, command: &mut Command) -> Result<(Tally, Failures)> {
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{}`", shell::shown(command)))?;
    let (mut tally, mut failures) = (Tally::default(), Failures::default());
    let mut quiet = true;
    for line in BufReader::new(child.stdout.take().context("standard output is piped")?).lines() {
        let line = line?;
        tally.add_line(&line);
        failures.add_line(&line);
        let empty =
            ["running 0 tests", "test result: ok. 0 passed;"].iter().any(|start| line.starts_with(start));
        if empty || line.trim().is_empty() {
            continue;
        }
        if std::mem::take(&mut quiet) {
            println!("\n▸ {name}");
        }
        println!("  {line}");
    }
    let status = child.wait()?;
    if !status.success() && tally.failed == 0 {
        println!("  ✗ {name} did not report its results: {status}");
        tally.failed = 1;
    }
    Ok((tally, failures))
}

/// What libtest says of the tests that failed, told again at the end: a log may be cut at its beginning.
#[derive(Default)]
struct Failures {
    telling: bool,
    lines: Vec<String>,
}

impl Failures {
    const LINES: usize = 80;
    const CHARACTERS: usize = 400;

    /// Keeps what stands between `failures:` and the closing line, backtraces aside.
    fn add_line(&mut self, line: &str) {
        let of_backtrace = line.trim_start().starts_with("at ")
            || line.split_once(": ").is_some_and(|(frame, _)| frame.trim_start().parse::<u16>().is_ok());
        match line {
            "failures:" => self.telling = true,
            _ if line.starts_with("test result: ") => self.telling = false,
            _ if of_backtrace || line.trim().is_empty() || self.lines.len() == Self::LINES => {}
            _ if self.telling => self.lines.push(line.chars().take(Self::CHARACTERS).collect()),
            _ => {}
        }
    }
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
struct Tally {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Tally {
    /// Adds `test result: ok. 3 passed; 0 failed; 1 ignored; …`, libtest's closing line; others have no effect.
    fn add_line(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result: ") else { return };
        let count = |what: &str| -> u64 {
            let mut words = result.split([' ', ';', '.']).filter(|word| !word.is_empty()).peekable();
            while let Some(word) = words.next() {
                if words.peek() == Some(&what) {
                    return word.parse().unwrap_or(0);
                }
            }
            0
        };
        self.add(Self { passed: count("passed"), failed: count("failed"), ignored: count("ignored") });
    }

    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// Prints the time of each suite and the sum; a run in which no test ran is no success.
fn close(ran: &[Ran], filter: Option<&str>) -> ExitCode {
    let mut sum = Tally::default();
    println!();
    for Ran { name, tally, took, .. } in ran {
        sum.add(*tally);
        if *tally != Tally::default() {
            let mark = if tally.failed == 0 { "✓" } else { "✗" };
            println!(
                "{mark} {name:<36} {:>5} passed {:>4} failed {:>7.1} s",
                tally.passed,
                tally.failed,
                took.as_secs_f64()
            );
        }
    }
    for line in ran.iter().flat_map(|ran| &ran.failures.lines) {
        println!("  {line}");
    }
    if sum.ignored > 0 {
        println!("{} ignored: a test that cannot run here is a hole, not a success", sum.ignored);
    }
    if sum.passed == 0 && sum.failed == 0 {
        println!(
            "no test ran{}",
            filter.map(|filter| format!(": none is named `{filter}`")).unwrap_or_default()
        );
    }
    println!("{sum}");
    if sum.failed == 0 && sum.passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_all_binaries_add_up() {
        let mut tally = Tally::default();
        tally.add_line("running 3 tests");
        tally.add_line(
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s",
        );
        tally.add_line("test result: FAILED. 10 passed; 2 failed; 0 ignored; 0 measured; 4 filtered out; finished in 1.25s");
        assert_eq!(tally, Tally { passed: 13, failed: 2, ignored: 1 });
    }

    #[test]
    fn what_failed_is_told_again_without_backtraces() {
        let mut failures = Failures::default();
        let said = "test it ... FAILED\n\nfailures:\n\n---- it stdout ----\nthread 'it' panicked at a.rs:1:2:\nno\n\
                    stack backtrace:\n   0: core::panicking\n             at /rustc/x.rs\n\nfailures:\n    it\n\n\
                    test result: FAILED. 0 passed; 1 failed\nafter";
        said.lines().for_each(|line| failures.add_line(line));
        let told =
            ["---- it stdout ----", "thread 'it' panicked at a.rs:1:2:", "no", "stack backtrace:", "    it"];
        assert_eq!(failures.lines, told);
    }

    #[test]
    fn a_test_binary_is_found_in_cargos_messages() {
        let message = r#"{"reason":"compiler-artifact","manifest_path":"/w/agent/Cargo.toml","target":{"kind":["lib"],
            "name":"umbra"},"profile":{"test":true},"executable":"/w/target/debug/deps/umbra-1"}"#;
        let found = suite(message).unwrap();
        assert_eq!(found.name, "agent: lib umbra");
        assert_eq!(found.package_dir, Path::new("/w/agent"));
        assert!(suite(r#"{"reason":"build-finished","success":true}"#).is_none());
    }
}
