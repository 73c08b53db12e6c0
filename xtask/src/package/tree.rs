//! Files to be packed, in memory: root owns them, their dates are one.

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt as _, path::Path};

use anyhow::{Context as _, Result};
use tar::{Builder, EntryType, Header};

/// Paths without the first slash, folders before what is in them.
#[derive(Default)]
pub(super) struct Tree(BTreeMap<String, Node>);

struct Node {
    mode: u32,
    /// None for a folder.
    content: Option<Vec<u8>>,
}

impl Tree {
    pub(super) fn file(&mut self, path: &str, mode: u32, content: impl Into<Vec<u8>>) {
        self.folders_above(path);
        self.0.insert(path.to_owned(), Node { mode, content: Some(content.into()) });
    }

    pub(super) fn folder(&mut self, path: &str, mode: u32) {
        self.folders_above(path);
        self.0.insert(path.to_owned(), Node { mode, content: None });
    }

    fn folders_above(&mut self, path: &str) {
        let above = path.match_indices('/').map(|(end, _)| &path[..end]);
        for folder in above {
            self.0.entry(folder.to_owned()).or_insert(Node { mode: 0o755, content: None });
        }
    }

    /// All bytes of all files.
    pub(super) fn size(&self) -> usize {
        self.0.values().filter_map(|node| Some(node.content.as_ref()?.len())).sum()
    }

    pub(super) fn tar(&self, time: u64) -> Result<Vec<u8>> {
        let mut tar = Builder::new(Vec::new());
        for (path, Node { mode, content }) in &self.0 {
            let mut header = Header::new_ustar();
            let kind = if content.is_some() { EntryType::Regular } else { EntryType::Directory };
            let content = content.as_deref().unwrap_or_default();
            header.set_entry_type(kind);
            header.set_mode(*mode);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(time);
            header.set_size(content.len() as u64);
            let name = if kind.is_dir() { format!("{path}/") } else { path.clone() };
            tar.append_data(&mut header, &name, content).with_context(|| format!("pack {path}"))?;
        }
        Ok(tar.into_inner()?)
    }

    /// Writes it below a folder, which is made.
    pub(super) fn place(&self, below: &Path) -> Result<()> {
        fs::create_dir_all(below)?;
        for (path, Node { mode, content }) in &self.0 {
            let placed = below.join(path);
            match content {
                Some(content) => fs::write(&placed, content),
                None => fs::create_dir_all(&placed),
            }
            .and_then(|()| fs::set_permissions(&placed, fs::Permissions::from_mode(*mode)))
            .with_context(|| format!("write {}", placed.display()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_twice_is_the_same_and_has_its_folders() {
        let tree = || {
            let mut tree = Tree::default();
            tree.file("usr/bin/umbra", 0o755, "elf");
            tree.folder("run/umbra", 0o700);
            tree.tar(7).unwrap()
        };
        assert_eq!(tree(), tree());
        let packed = tree();
        let mut archive = tar::Archive::new(packed.as_slice());
        let entries = archive.entries().unwrap().map(|entry| {
            let header = entry.unwrap().header().clone();
            (header.path().unwrap().display().to_string(), header.mode().unwrap(), header.mtime().unwrap())
        });
        let expected = [
            ("run/", 0o755),
            ("run/umbra/", 0o700),
            ("usr/", 0o755),
            ("usr/bin/", 0o755),
            ("usr/bin/umbra", 0o755),
        ];
        assert_eq!(entries.collect::<Vec<_>>(), expected.map(|(path, mode)| (path.to_owned(), mode, 7)));
    }
}
