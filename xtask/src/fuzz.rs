//! Fuzzes every target of tests/fuzz under libFuzzer, several at a time, and says what came of it. An own runner, for
//! cargo-fuzz wants nightly (its default sanitizer) and a `fuzz/` of its own, and runs one target without a sum: what is
//! left of it is this list of flags, all of which stable takes.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use crate::{setup, shell};

/// Coverage and comparisons as libFuzzer reads them (cargo-fuzz's flags, but no sanitizer: the code is safe Rust).
const INSTRUMENTATION: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "--cfg",
    "fuzzing",
];

pub(crate) fn run(time: Duration, wanted: &[String]) -> Result<ExitCode> {
    setup::run(setup::For::Fuzz)?;
    println!("▸ build the fuzz targets, instrumented");
    let binary = build()?;
    let known = shell::output(&mut shell::command(&binary.to_string_lossy()))?;
    if let Some(unknown) = wanted.iter().find(|name| !known.lines().any(|known| known == *name)) {
        bail!("no target is called `{unknown}`; there are {}", known.lines().collect::<Vec<_>>().join(", "));
    }
    let chosen = known.lines().filter(|name| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name));
    let mut waiting: Vec<_> = chosen.rev().map(str::to_owned).collect();

    let at_once = thread::available_parallelism().map_or(1, usize::from);
    let turns = u32::try_from(waiting.len().div_ceil(at_once)).unwrap_or(u32::MAX);
    println!("▸ {} targets, {at_once} at a time: {}", waiting.len(), clock(time.saturating_mul(turns)));
    let (mut running, mut ended): (Vec<Run>, Vec<Run>) = (Vec::new(), Vec::new());
    while !(waiting.is_empty() && running.is_empty()) {
        while running.len() < at_once
            && let Some(name) = waiting.pop()
        {
            running.push(Run::start(&binary, name, time)?);
        }
        thread::sleep(Duration::from_millis(200));
        let mut still = Vec::new();
        for mut run in running {
            match run.child.try_wait()? {
                None => still.push(run),
                Some(status) => {
                    run.clean = status.success();
                    println!("{}", run.sum());
                    ended.push(run);
                }
            }
        }
        running = still;
    }
    let found: Vec<_> = ended.iter().filter(|run| !run.clean).collect();
    for run in &found {
        println!(
            "\n{}: the input is in {}\n  shrink it: {} {} {} -minimize_crash=1 -runs=100000 FILE\n  keep it, once mended, in tests/fuzz/corpus/{}: `cargo xtask test` replays it from then on",
            run.name,
            run.folder.join("findings").display(),
            binary.display(),
            run.name,
            run.folder.display(),
            run.name
        );
    }
    Ok(if found.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn build() -> Result<PathBuf> {
    let host = shell::output(shell::command("rustc").args(["--print", "host-tuple"]))?;
    let dir = shell::target_dir().join("fuzz");
    let mut cargo = shell::cargo();
    cargo.args([
        "build",
        "--package",
        "umbra-fuzz",
        "--bin",
        "umbra-fuzz",
        "--features",
        "libfuzzer",
        "--profile",
        "fuzz",
    ]);
    // With a target named, build scripts and macros are built without the instrumentation.
    cargo.args(["--target", &host, "--target-dir"]).arg(&dir);
    cargo.env("CARGO_ENCODED_RUSTFLAGS", INSTRUMENTATION.join("\x1f"));
    shell::run(&mut cargo).context("the fuzz targets do not build")?;
    Ok(dir.join(host).join("fuzz/umbra-fuzz"))
}

/// One target under way.
struct Run {
    name: String,
    /// Its corpus, which grows from run to run, its log, and what it found.
    folder: PathBuf,
    child: Child,
    started: Instant,
    clean: bool,
}

impl Run {
    fn start(binary: &Path, name: String, time: Duration) -> Result<Self> {
        let folder = shell::target_dir().join("fuzz/work").join(&name);
        let findings = folder.join("findings");
        fs::create_dir_all(&findings)?;
        let log = File::create(folder.join("log"))?;
        let mut command = Command::new(binary);
        command.arg(&name).arg(&folder);
        // An input that takes ten seconds, or a gibibyte, is a finding too.
        command.args([
            "-timeout=10",
            "-rss_limit_mb=1024",
            "-print_final_stats=1",
            "-reload=0",
            // Inputs are short as it is: begin with their full length.
            "-len_control=0",
            "-use_value_profile=1",
        ]);
        command.arg(format!("-max_total_time={}", time.as_secs().max(1)));
        command.arg(format!("-artifact_prefix={}/", findings.display()));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().with_context(|| format!("cannot start {}", binary.display()))?;
        Ok(Self { name, folder, child, started: Instant::now(), clean: false })
    }

    /// Executions and coverage, from libFuzzer's own words.
    fn sum(&self) -> String {
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let mark = if self.clean { "✓" } else { "✗" };
        let executions = word_after(&log, "stat::number_of_executed_units:").unwrap_or("?");
        let peak = word_after(&log, "stat::peak_rss_mb:").unwrap_or("?");
        let coverage = word_after(&log, " cov:").unwrap_or("?");
        let inputs = word_after(&log, " corp:").unwrap_or("?");
        let took = clock(self.started.elapsed());
        let name = &self.name;
        let why = if self.clean { "nothing found" } else { "found something, or did not start" };
        format!(
            "{mark} {name:<10} {why} in {took}: {executions} executions, {coverage} edges, corpus {inputs}, {peak} MiB; log {}",
            self.folder.join("log").display()
        )
    }
}

/// What follows the last occurrence of a mark.
fn word_after<'l>(log: &'l str, mark: &str) -> Option<&'l str> {
    log.rsplit_once(mark)?.1.split_whitespace().next()
}

fn clock(time: Duration) -> String {
    format!("{} min {} s", time.as_secs() / 60, time.as_secs() % 60)
}

/// `90s`, `10m`, `1h`
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.len() - usize::from(text.ends_with(['s', 'm', 'h'])));
    let seconds = match unit {
        "h" => 3600,
        "m" => 60,
        _ => 1,
    };
    let number: u64 = number.parse().map_err(|_| "a number with s, m or h, such as 10m".to_owned())?;
    Ok(Duration::from_secs(number.saturating_mul(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_number_with_a_unit() {
        assert_eq!(duration("10m"), Ok(Duration::from_secs(600)));
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("7"), Ok(Duration::from_secs(7)));
        assert!(duration("m").is_err() && duration("").is_err() && duration("1.5m").is_err());
    }

    #[test]
    fn the_last_word_of_the_log_counts() {
        let log = "#2 INITED cov: 10 ft: 11 corp: 2/3b\n#9 DONE cov: 20 ft: 30 corp: 4/90b\nstat::peak_rss_mb:  40\n";
        assert_eq!(word_after(log, " cov:"), Some("20"));
        assert_eq!(word_after(log, " corp:"), Some("4/90b"));
        assert_eq!(word_after(log, "stat::peak_rss_mb:"), Some("40"));
        assert_eq!(word_after(log, "stat::number:"), None);
    }
}
