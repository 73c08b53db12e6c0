//! Python with the packages of the suites' programs.

use std::{env, path::PathBuf};

/// The interpreter that `cargo xtask test` makes, `target/python/bin/python`; its packages are those of
/// `tests/suites/peers/programs/requirements.txt`.
pub fn python() -> PathBuf {
    let exe = env::current_exe().unwrap();
    let found = exe.ancestors().map(|dir| dir.join("python/bin/python")).find(|path| path.exists());
    found.unwrap_or_else(|| {
        panic!(
            "there is no python/bin/python near {}: run by `cargo xtask test`, which makes it",
            exe.display()
        )
    })
}
