//! Other programs, run from the workspace's root with `~/.cargo/bin` in reach. What changes the machine is printed
//! before it runs.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

/// The workspace's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask/ lies in the workspace")
}

/// Where `cargo build` puts what it builds, profile folders inside.
pub(crate) fn target_dir() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(dir) if !dir.is_empty() => root().join(dir),
        _ => root().join("target"),
    }
}

/// Where cargo keeps what it installs and fetches.
pub(crate) fn cargo_home() -> Option<PathBuf> {
    let said = env::var_os("CARGO_HOME").map(PathBuf::from);
    said.or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")))
}

/// A program to run in the workspace's root.
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root()).env("PATH", search_path());
    command
}

/// The workspace's own cargo.
pub(crate) fn cargo() -> Command {
    command("cargo")
}

/// A program to run as root: by itself for root, else through sudo.
pub(crate) fn command_as_root(program: &str) -> Result<Command> {
    if is_root() {
        return Ok(command(program));
    }
    if !exists("sudo") {
        bail!("`{program}` must run as root here, and there is no sudo: run this command again as root");
    }
    let mut sudo = command("sudo");
    sudo.arg(format!("PATH={}", search_path().to_string_lossy())).arg(program);
    Ok(sudo)
}

pub(crate) fn is_root() -> bool {
    // The real user of this process; /proc is there on every Linux this can run on.
    fs::read_to_string("/proc/self/status")
        .is_ok_and(|status| status.lines().any(|line| line.starts_with("Uid:\t0\t")))
}

/// Runs to the end with this terminal's input and output.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start `{}`", shown(command)))?;
    if !status.success() {
        bail!("`{}` failed: {status}", shown(command));
    }
    Ok(())
}

/// Says why and what, then runs it.
pub(crate) fn step(why: &str, command: &mut Command) -> Result<()> {
    println!("▸ {why}\n  $ {}", shown(command));
    run(command)
}

/// True when the program can be started and succeeds; its output is not shown.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Standard output of a program that must succeed, without the end's white space.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start `{}`", shown(command)))?;
    if !output.status.success() {
        bail!("`{}` failed: {}", shown(command), output.status);
    }
    Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
}

/// True when the program is in the search path.
pub(crate) fn exists(program: &str) -> bool {
    env::split_paths(&search_path()).any(|dir| dir.join(program).is_file())
}

/// This process's PATH, and what a bare login often lacks: cargo's own programs, and the system administrator's.
fn search_path() -> OsString {
    let mut dirs: Vec<PathBuf> = env::split_paths(&env::var_os("PATH").unwrap_or_default()).collect();
    let wanted = cargo_home().into_iter().map(|home| home.join("bin"));
    for dir in wanted.chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from)) {
        if !dirs.contains(&dir) {
            dirs.push(dir);
        }
    }
    env::join_paths(&dirs).unwrap_or_default()
}

/// A command as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let variables = command.get_envs().filter_map(|(name, value)| {
        let value = quoted(&value?.to_string_lossy());
        (name != "PATH").then(|| format!("{}={value}", name.display()))
    });
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words = words.map(|word| quoted(&word.to_string_lossy())).filter(|word| !word.starts_with("PATH="));
    variables.chain(words).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.to_owned() } else { format!("'{word}'") }
}

/// An empty folder.
pub(crate) fn anew(dir: PathBuf) -> Result<PathBuf> {
    if dir.exists() {
        fs::remove_dir_all(&dir).with_context(|| format!("remove {}", dir.display()))?;
    }
    fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
    Ok(dir)
}
