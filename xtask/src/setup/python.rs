//! The Python that the tests' peers run in: an environment of its own below `target/`, with the packages at the versions
//! that the suite names.

use std::fs;

use anyhow::{Context as _, Result};

use super::apt;
use crate::shell;

/// The packages, with their versions.
const REQUIREMENTS: &str = "tests/suites/peers/programs/requirements.txt";

/// Makes the environment, unless it is there and has what is required.
pub(super) fn install() -> Result<()> {
    let (dir, required) = (shell::target_dir().join("python"), shell::root().join(REQUIREMENTS));
    let (python, installed) = (dir.join("bin/python").display().to_string(), dir.join("requirements.txt"));
    let wanted = fs::read(&required).with_context(|| format!("cannot read {}", required.display()))?;
    if fs::read(&installed).is_ok_and(|has| has == wanted)
        && shell::succeeds(shell::command(&python).arg("--version"))
    {
        return Ok(());
    }
    // Debian's Python comes without it.
    if !shell::succeeds(shell::command("python3").args(["-c", "import ensurepip"])) {
        apt::install("Python's venv missing", &["python3-venv"])?;
    }
    shell::step(
        "the tests' Python peers are missing",
        shell::command("python3").args(["-m", "venv", "--clear"]).arg(&dir),
    )?;
    let mut pip = shell::command(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:"]);
    shell::step("and their packages", pip.args(["--requirement", REQUIREMENTS])).context(
        "pip could not install them: its own message above names the reason; PyPI must be in reach",
    )?;
    // Last, so that an installation that was broken off is begun again.
    fs::copy(&required, &installed).with_context(|| format!("cannot write {}", installed.display()))?;
    Ok(())
}
