//! Manual pages and completions, told by the program itself.

use std::{fs, path::PathBuf};

use anyhow::Result;

use super::{Edition, binary::Binary, collect, gzip, tree::Tree};
use crate::shell;

/// Shells: the name of the file, and where Debian's packages put it.
const SHELLS: [(&str, &str, &str); 3] = [
    ("bash", "umbra.bash", "usr/share/bash-completion/completions/umbra"),
    ("zsh", "_umbra", "usr/share/zsh/vendor-completions/_umbra"),
    ("fish", "umbra.fish", "usr/share/fish/vendor_completions.d/umbra.fish"),
];

pub(super) struct Manual {
    pages: PathBuf,
    completions: PathBuf,
}

impl Manual {
    pub(super) fn write(own: &Binary, edition: &Edition) -> Result<Self> {
        let manual = Self { pages: edition.dir.join("man"), completions: edition.dir.join("completions") };
        let umbra = || shell::command(&own.path.to_string_lossy());
        shell::run(umbra().arg("man").arg(&manual.pages))?;
        fs::create_dir_all(&manual.completions)?;
        for (shell, file, _) in SHELLS {
            let script = shell::output(umbra().args(["completion", shell]))?;
            fs::write(manual.completions.join(file), script + "\n")?;
        }
        Ok(manual)
    }

    /// Places them as a distribution does.
    pub(super) fn install(&self, tree: &mut Tree) -> Result<()> {
        let mut pages = Vec::new();
        collect(&self.pages, &mut pages)?;
        for page in pages {
            let name = page.file_name().unwrap_or_default().to_string_lossy().into_owned();
            tree.file(&format!("usr/share/man/man1/{name}.gz"), 0o644, gzip(&fs::read(&page)?)?);
        }
        for (_, file, place) in SHELLS {
            tree.file(place, 0o644, fs::read(self.completions.join(file))?);
        }
        Ok(())
    }
}
