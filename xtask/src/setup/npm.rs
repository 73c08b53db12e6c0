//! What drives the browser in the dashboard's suite: playwright-core, which is Playwright without browsers of its own,
//! below `target/node`. It has no further packages.

use anyhow::{Context as _, Result};

use crate::shell;

const VERSION: &str = "1.65.1";

/// Fetches it, unless it is there.
pub(super) fn install() -> Result<()> {
    let dir = shell::target_dir().join("node");
    let package = dir.join("node_modules/playwright-core/package.json");
    if std::fs::read_to_string(&package)
        .is_ok_and(|json| json.contains(&format!("\"version\": \"{VERSION}\"")))
    {
        return Ok(());
    }
    let mut npm = shell::command("npm");
    npm.args(["install", "--silent", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"]);
    npm.arg(&dir).arg(format!("playwright-core@{VERSION}"));
    shell::step("what drives the browser is missing", &mut npm).context(
        "npm could not fetch it: its own message above names the reason; npm's registry must be in reach",
    )
}
