//! The agent as one file that needs no other: linked statically with musl, or, where rustup cannot be reached, with this
//! machine's glibc (whose look-ups of names and users would want shared libraries: umbra makes none).

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};

use super::Arch;
use crate::{setup, shell};

#[derive(Clone)]
pub(super) struct Binary {
    pub(super) arch: Arch,
    pub(super) target: String,
    pub(super) path: PathBuf,
}

impl Binary {
    pub(super) fn build(arch: Arch, profile: &str) -> Result<Self> {
        // What is stripped in the end need not be made in the first place.
        Self::with(arch, profile, vec!["-Cstrip=symbols".to_owned(), "-Cdebuginfo=0".to_owned()])
    }

    /// The same program, with the names of its functions for a profiler.
    pub(super) fn build_with_names(arch: Arch, profile: &str) -> Result<Self> {
        Self::with(arch, profile, vec!["-Cdebuginfo=0".to_owned()])
    }

    fn with(arch: Arch, profile: &str, mut flags: Vec<String>) -> Result<Self> {
        let target = target(arch)?;
        println!("▸ build the agent for {target}, profile {profile}");
        // Paths of this machine are nobody's concern, and would make each machine's binary another.
        for (from, to) in [(Some(shell::root().to_owned()), "/umbra"), (shell::cargo_home(), "/cargo")] {
            flags.extend(from.map(|from| format!("--remap-path-prefix={}={to}", from.display())));
        }
        if !target.ends_with("musl") {
            flags.push("-Ctarget-feature=+crt-static".to_owned());
        }
        let mut cargo = shell::cargo();
        if !arch.is_native() {
            let gcc = setup::cross_compiler(arch.cpu(), arch.as_str())?;
            let variable = target.replace('-', "_");
            cargo.env(format!("CC_{variable}"), &gcc);
            cargo.env(format!("CARGO_TARGET_{}_LINKER", variable.to_uppercase()), &gcc);
        }
        // For this target alone: build scripts and the programs for the kernel have flags of their own.
        let variable = format!("CARGO_TARGET_{}_RUSTFLAGS", target.replace('-', "_").to_uppercase());
        cargo.env(variable, flags.join(" "));
        cargo.args(["build", "--quiet", "--package", "umbra", "--target", &target, "--profile", profile]);
        shell::run(&mut cargo).with_context(|| format!("the agent does not build for {target}"))?;
        let folder = if profile == "dev" { "debug" } else { profile };
        let path = shell::target_dir().join(&target).join(folder).join("umbra");
        needs_nothing(&path)?;
        Ok(Self { arch, target, path })
    }

    pub(super) fn content(&self) -> Result<Vec<u8>> {
        fs::read(&self.path).with_context(|| format!("read {}", self.path.display()))
    }

    pub(super) fn copy(&self, to: &Path) -> Result<()> {
        fs::copy(&self.path, to).map(drop).with_context(|| format!("write {}", to.display()))
    }
}

/// A target whose standard library is here.
fn target(arch: Arch) -> Result<String> {
    let (musl, glibc) =
        (format!("{}-unknown-linux-musl", arch.cpu()), format!("{}-unknown-linux-gnu", arch.cpu()));
    if has_std(&musl) {
        return Ok(musl);
    }
    let mut add = shell::command("rustup");
    let added =
        shell::step("Rust's standard library for musl is missing", add.args(["target", "add", &musl]));
    match added {
        Ok(()) if has_std(&musl) => Ok(musl),
        _ if arch.is_native() => {
            println!("  it cannot be had here: {glibc}, linked statically, instead");
            Ok(glibc)
        }
        _ => bail!("Rust's standard library for {musl} cannot be had: `rustup target add {musl}` says why"),
    }
}

fn has_std(target: &str) -> bool {
    let dir = shell::command("rustc").args(["--print", "target-libdir", "--target", target]).output();
    dir.is_ok_and(|dir| {
        dir.status.success() && Path::new(String::from_utf8_lossy(&dir.stdout).trim()).exists()
    })
}

/// Neither an interpreter nor a library.
fn needs_nothing(program: &Path) -> Result<()> {
    let said = shell::output(
        shell::command("readelf").args(["--wide", "--program-headers", "--dynamic"]).arg(program),
    )?;
    let wants = said.lines().find(|line| line.contains("INTERP") || line.contains("(NEEDED)"));
    ensure!(wants.is_none(), "{} is not static: {}", program.display(), wants.unwrap_or_default().trim());
    Ok(())
}
