//! What `cargo xtask package` makes, used as a person uses it: the image by readers of images and by container runtimes, the
//! Debian package in a Debian that is made for the test and booted, both with the capabilities they name and no others.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a suite fails where it stands")]

mod container;
mod debian;
mod image;
mod runtimes;
mod systemd;
mod unit;
mod upgrade;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The folder of this build, `target` as a rule.
fn target() -> PathBuf {
    let exe = env::current_exe().unwrap();
    exe.ancestors().nth(3).unwrap().to_owned()
}

/// The one package with this ending.
fn packaged(ending: &str) -> PathBuf {
    let dir = target().join("package-dev");
    let files = fs::read_dir(&dir).into_iter().flatten().flatten().map(|file| file.path());
    let mut fitting = files.filter(|path| path.to_string_lossy().ends_with(ending));
    let found = fitting.next().unwrap_or_else(|| {
        panic!("no *{ending} in {}: run by `cargo xtask test`, which makes it", dir.display())
    });
    assert_eq!(fitting.next(), None, "one of each kind is made");
    found
}

/// Runs a program that must succeed, and tells what it wrote.
fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// What an agent changes in a namespace: rules, routes of the loopback device, and the settings it switches on.
fn passage(netns: &support::Netns) -> String {
    let script = "ip rule; ip -6 rule; ip route show table all dev lo; \
                  ip -6 route show table all dev lo; cat /proc/sys/net/ipv4/tcp_fwmark_accept /proc/sys/net/ipv?/fwmark_reflect";
    output(netns.command("sh").args(["-c", script]))
}

/// Rules that mirror everything an app gets, without any AgentConfig.
fn rules(app: std::net::SocketAddr, shadow: std::net::SocketAddr) -> String {
    let whole =
        support::Config::capture("host", app).mirror(shadow, 100.0).to_yaml("127.0.0.1:1".parse().unwrap());
    let (_agent, rules) = whole.split_once("---\n").unwrap();
    rules.to_owned()
}

/// The capabilities of a process, as numbers: permitted, effective and bounding.
fn capabilities(pid: i32) -> Vec<u64> {
    let status = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status")).unwrap();
    let of = |set: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(set)).unwrap();
        u64::from_str_radix(line.trim(), 16).unwrap()
    };
    ["CapPrm:", "CapEff:", "CapBnd:"].map(of).to_vec()
}

/// The same of a list of names.
fn bits(names: &[String]) -> u64 {
    let needed = umbra::process::privileges::NEEDED;
    let bit = |name: &String| {
        let known = needed.iter().find(|(_, known, _)| known == name);
        known.unwrap_or_else(|| panic!("{name} is none that an agent needs")).0.bits()
    };
    names.iter().map(bit).fold(0, |all, one| all | one)
}
