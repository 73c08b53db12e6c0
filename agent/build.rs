//! Builds the eBPF programs for the agent to embed. Without a toolchain for them it embeds nothing and says so; the
//! agent then answers "built without eBPF", and `cargo xtask test` or `cargo xtask demo` set the toolchain up.

#![allow(unsafe_code, reason = "edition 2024 counts setting an environment variable as unsafe")]

use std::{env, fs, path::Path, process::Command};

use anyhow::{Context as _, Result};
use aya_build::{Package, Toolchain, build_ebpf};

const OBJECTS: [&str; 1] = ["inbound"];

fn main() -> Result<()> {
    println!("cargo:rerun-if-changed=../common/src");
    let out_dir = env::var("OUT_DIR").context("cargo sets OUT_DIR")?;
    let Some(toolchain) = toolchain() else {
        for object in OBJECTS {
            fs::write(Path::new(&out_dir).join(object), b"")?;
        }
        // A file that never exists: the next build looks again.
        println!("cargo:rerun-if-changed=no-toolchain-yet");
        println!(
            "cargo:warning=no eBPF toolchain found: the agent is built without eBPF; `cargo xtask setup` installs it"
        );
        return Ok(());
    };
    // SAFETY: a build script is single-threaded here. The variable lets aya-ebpf alone use `asm_experimental_arch`
    // on a stable compiler.
    unsafe { env::set_var("RUSTC_BOOTSTRAP", "aya_ebpf") };
    build_ebpf([Package { name: "umbra-ebpf", root_dir: "../ebpf", ..Package::default() }], toolchain)
}

/// A toolchain named `umbra-bpf` that brings its own core for bpf targets, else nightly with rust-src.
fn toolchain() -> Option<Toolchain<'static>> {
    let answers = |program: &str, args: &[&str]| {
        Command::new(program).args(args).output().is_ok_and(|output| output.status.success())
    };
    if !answers("bpf-linker", &["--version"]) {
        return None;
    }
    if answers("rustup", &["run", "umbra-bpf", "rustc", "--version"]) {
        return Some(Toolchain::Custom("umbra-bpf"));
    }
    let sysroot =
        Command::new("rustup").args(["run", "nightly", "rustc", "--print", "sysroot"]).output().ok()?;
    let sysroot = String::from_utf8(sysroot.stdout).ok()?;
    Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core").exists().then_some(Toolchain::Nightly)
}
