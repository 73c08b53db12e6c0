//! Debian's packages.

use std::process::Stdio;

use anyhow::{Context as _, Result, bail};

use crate::shell;

/// Runs its arguments with nginx and other daemons kept from starting on installation: a test starts its own. A
/// policy that is already there is left alone.
const WITHOUT_STARTING_SERVICES: &str = r#"
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
  trap 'rm -f $policy' EXIT INT TERM
  printf '#!/bin/sh\nexit 101\n' > $policy && chmod 755 $policy
fi
"$@""#;

/// True when each package can be installed; refreshes the lists first if some are unknown to them.
pub(super) fn offers(packages: &[&str]) -> bool {
    if !shell::exists("apt-get") {
        return false;
    }
    let known = || {
        let known_one = |package: &&str| {
            shell::succeeds(shell::command("apt-cache").args(["show", "--no-all-versions", package]))
        };
        packages.iter().all(known_one)
    };
    known() || (refresh().is_ok() && known())
}

/// Installs packages, or says what to do.
pub(super) fn install(why: &str, packages: &[&str]) -> Result<()> {
    if !offers(packages) {
        bail!(
            "{why}, and apt does not offer {}: install them by other means and run this again",
            packages.join(" ")
        );
    }
    let mut command = shell::command_as_root("sh")?;
    command.args(["-c", WITHOUT_STARTING_SERVICES, "sh", "env", "DEBIAN_FRONTEND=noninteractive"]);
    command
        .args([
            "apt-get",
            "install",
            "--yes",
            "--quiet=2",
            "--option=Dpkg::Use-Pty=0",
            "--no-install-recommends",
        ])
        .args(packages);
    println!("▸ {why}\n  $ apt-get install --yes --no-install-recommends {}", packages.join(" "));
    // What it unpacks interests nobody; what it complains of goes to standard error.
    shell::run(command.stdout(Stdio::null())).with_context(|| {
        format!(
            "could not install {}: apt's own message above names the reason. If another program holds apt's lock, wait for it",
            packages.join(" ")
        )
    })
}

fn refresh() -> Result<()> {
    shell::step(
        "apt's lists lack the packages wanted",
        shell::command_as_root("apt-get")?.args(["update", "--quiet=2"]),
    )
}
