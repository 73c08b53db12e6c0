//! The toolchain for eBPF programs, in the order agent/build.rs looks for it: Debian's compiler that brings its own
//! core for bpf targets, else nightly with the sources of core. Both need bpf-linker.

use anyhow::{Context as _, Result, bail};

use super::apt;
use crate::shell;

/// The last version that builds with the workspace's rust-version.
const LINKER_VERSION: &str = "0.13.0";

/// `rustc-web` is the newest stable compiler Debian keeps for its browsers; the rest builds bpf-linker on the same LLVM.
const DEBIAN_PACKAGES: &[&str] = &[
    "rustc-web",
    "libstd-rust-web-dev-bpf",
    "llvm-22-dev",
    "libpolly-22-dev",
    "clang-22",
    "zlib1g-dev",
    "libzstd-dev",
    "libxml2-dev",
];

/// Who compiles the programs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Toolchain {
    Debian,
    Nightly,
}

impl std::fmt::Display for Toolchain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Debian => "Debian's rustc (rustup toolchain umbra-bpf) and bpf-linker",
            Self::Nightly => "nightly and bpf-linker",
        })
    }
}

/// The complete toolchain on this machine, if there is one.
pub(crate) fn ready() -> Option<Toolchain> {
    let linker = shell::succeeds(shell::command("bpf-linker").arg("--version"));
    compiler().filter(|_| linker)
}

/// Installs what is missing of the toolchain.
pub(super) fn install() -> Result<Toolchain> {
    if !shell::exists("rustup") {
        bail!(
            "the eBPF programs need a second compiler, which rustup manages, and there is no rustup: see https://rustup.rs"
        );
    }
    let toolchain = match compiler() {
        Some(toolchain) => toolchain,
        None => install_compiler()?,
    };
    if !shell::succeeds(shell::command("bpf-linker").arg("--version")) {
        install_linker(toolchain)?;
    }
    ready().context(
        "the eBPF toolchain was installed and still does not answer: try `bpf-linker --version` by hand",
    )
}

fn compiler() -> Option<Toolchain> {
    if shell::succeeds(shell::command("rustup").args(["run", "umbra-bpf", "rustc", "--version"])) {
        return Some(Toolchain::Debian);
    }
    let sysroot =
        shell::command("rustup").args(["run", "nightly", "rustc", "--print", "sysroot"]).output().ok()?;
    let sysroot = String::from_utf8(sysroot.stdout).ok()?;
    let core = std::path::Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core");
    (!sysroot.is_empty() && core.exists()).then_some(Toolchain::Nightly)
}

fn install_compiler() -> Result<Toolchain> {
    if apt::offers(DEBIAN_PACKAGES) {
        apt::install("a Rust compiler with the bpf target is missing", DEBIAN_PACKAGES)?;
        shell::step(
            "make it known to rustup",
            shell::command("rustup").args(["toolchain", "link", "umbra-bpf", "/usr"]),
        )?;
        return Ok(Toolchain::Debian);
    }
    let mut rustup = shell::command("rustup");
    rustup.args(["toolchain", "install", "nightly", "--profile", "minimal", "--component", "rust-src"]);
    shell::step("a Rust compiler with the bpf target is missing, and apt offers none", &mut rustup).context(
        "nightly Rust could not be installed. Most likely static.rust-lang.org cannot be reached: run the command above \
         where it can, or use Debian 12 or newer with its security packages",
    )?;
    Ok(Toolchain::Nightly)
}

fn install_linker(toolchain: Toolchain) -> Result<()> {
    let mut install = shell::cargo();
    install.args(["install", "bpf-linker", "--version", LINKER_VERSION]);
    if toolchain == Toolchain::Debian {
        // The compiler may have been linked by hand: the linker's own libraries are looked at separately.
        if !std::path::Path::new("/usr/lib/llvm-22/bin/llvm-config").exists() {
            apt::install("bpf-linker is built on LLVM 22", DEBIAN_PACKAGES)?;
        }
        install
            .args(["--no-default-features", "--features", "llvm-22"])
            .env("LLVM_PREFIX", "/usr/lib/llvm-22");
    }
    shell::step("bpf-linker is missing; building it takes a minute or two", &mut install).with_context(|| {
        format!(
            "bpf-linker {LINKER_VERSION} could not be built. A linker error naming a library means that a -dev package of \
             LLVM is missing; a download error that crates.io cannot be reached"
        )
    })
}
