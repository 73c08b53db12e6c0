//! Everything that can be said of the code without running it. All checks run; the end lists those that failed.

use std::{
    process::{Command, ExitCode},
    time::Instant,
};

use anyhow::{Context as _, Result};

use crate::{
    floors, links,
    setup::{self, Toolchain},
    shell,
};

/// The newest cargo-deny known to build with the workspace's rust-version.
const DENY_VERSION: &str = "0.20.2";

pub(crate) fn run() -> Result<ExitCode> {
    let toolchain = setup::run(setup::For::Demo)?;
    let mut checks = Checks::default();

    checks.program("formatting", shell::cargo().args(["fmt", "--all", "--check"]));
    checks.program(
        "clippy",
        shell::cargo().args(["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]),
    );
    let (name, mut command) = bpf(toolchain)?;
    checks.program(name, &mut command);
    checks.program(
        "documentation",
        shell::cargo()
            .args([
                "doc",
                "--workspace",
                "--exclude",
                "umbra-ebpf",
                "--no-deps",
                "--document-private-items",
                "--quiet",
            ])
            .env("RUSTDOCFLAGS", "-D warnings"),
    );
    checks.findings("floors", &floors::violations(&shell::root().join("agent/src"))?);
    checks.findings("links", &links::broken()?);
    install_deny()?;
    checks.program(
        "dependencies",
        shell::cargo().args(["deny", "check", "--hide-inclusion-graph", "bans", "licenses", "sources"]),
    );
    Ok(checks.close())
}

/// The programs as the kernel gets them: all warnings denied, through clippy where the toolchain has it.
fn bpf(toolchain: Toolchain) -> Result<(&'static str, Command)> {
    let arch = std::env::consts::ARCH;
    let mut command = shell::command("rustup");
    let name = match toolchain {
        Toolchain::Debian => {
            command.args(["run", "umbra-bpf", "cargo", "check"]).env("RUSTC_BOOTSTRAP", "aya_ebpf");
            "eBPF (rustc's warnings: Debian's compiler has no clippy; the shared code had it above)"
        }
        Toolchain::Nightly => {
            let mut component = shell::command("rustup");
            component.args(["component", "add", "clippy", "--toolchain", "nightly"]);
            shell::run(&mut component).context("nightly has no clippy yet")?;
            command.args(["run", "nightly", "cargo", "clippy", "-Z", "build-std=core"]);
            "eBPF (clippy)"
        }
    };
    command.args([
        "--package",
        "umbra-ebpf",
        "--bins",
        "--release",
        "--target",
        "bpfel-unknown-none",
        "--quiet",
    ]);
    // The flags aya-build compiles with.
    command.env("CARGO_ENCODED_RUSTFLAGS", format!("--cfg=bpf_target_arch=\"{arch}\"\x1f-Dwarnings"));
    Ok((name, command))
}

fn install_deny() -> Result<()> {
    if shell::exists("cargo-deny") {
        return Ok(());
    }
    let mut install = shell::cargo();
    install.args(["install", "cargo-deny", "--locked", "--version", DENY_VERSION]);
    shell::step("cargo-deny is missing; building it takes several minutes", &mut install)
        .context("cargo-deny could not be built: it needs crates.io and a C compiler")
}

#[derive(Default)]
struct Checks {
    failed: Vec<&'static str>,
}

impl Checks {
    fn program(&mut self, name: &'static str, command: &mut Command) {
        println!("▸ {name}");
        let started = Instant::now();
        match shell::run(command) {
            Ok(()) => println!("  ✓ {:.1} s", started.elapsed().as_secs_f64()),
            Err(error) => self.fail(name, &[error.to_string()]),
        }
    }

    fn findings(&mut self, name: &'static str, findings: &[String]) {
        println!("▸ {name}");
        if findings.is_empty() { println!("  ✓") } else { self.fail(name, findings) }
    }

    fn fail(&mut self, name: &'static str, findings: &[String]) {
        for finding in findings {
            println!("  ✗ {finding}");
        }
        self.failed.push(name);
    }

    fn close(self) -> ExitCode {
        if self.failed.is_empty() {
            println!("all checks passed");
            return ExitCode::SUCCESS;
        }
        println!("failed: {}", self.failed.join(", "));
        ExitCode::FAILURE
    }
}
