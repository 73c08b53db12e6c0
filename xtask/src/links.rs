//! Whether the README's and the manual's links lead to a file that is there, and to a heading in it. Links to other sites
//! are not looked at.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::shell;

/// Every link that leads nowhere, as `file:line: where`.
pub(crate) fn broken() -> Result<Vec<String>> {
    let mut found = Vec::new();
    for page in pages()? {
        let shown = page.strip_prefix(shell::root()).unwrap_or(&page).display().to_string();
        for (line, target) in links(&read(&page)?) {
            if let Some(fault) = fault(&page, &target)? {
                found.push(format!("{shown}:{line}: `{target}`: {fault}"));
            }
        }
    }
    Ok(found)
}

/// The README, and the manual's pages by name.
fn pages() -> Result<Vec<PathBuf>> {
    let mut pages = vec![shell::root().join("README.md")];
    for entry in fs::read_dir(shell::root().join("config/manual")).context("list config/manual")? {
        pages.push(entry?.path());
    }
    pages.sort();
    Ok(pages)
}

fn fault(page: &Path, target: &str) -> Result<Option<String>> {
    let (path, anchor) = target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor)));
    let file = if path.is_empty() { page.to_owned() } else { page.with_file_name(path) };
    if !file.exists() {
        return Ok(Some("no such file".into()));
    }
    let Some(anchor) = anchor else { return Ok(None) };
    Ok((!anchors(&read(&file)?).iter().any(|known| known == anchor)).then(|| "no such heading".into()))
}

/// Where links lead that are no addresses, each with its line.
fn links(page: &str) -> Vec<(usize, String)> {
    let targets = prose(page).flat_map(|(number, line)| {
        let targets = line.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
        targets.map(move |(target, _)| (number, target.to_owned()))
    });
    targets.filter(|(_, target)| !target.contains("://")).collect()
}

/// What headings are called in addresses, as GitHub has it.
fn anchors(page: &str) -> Vec<String> {
    let headings = prose(page).filter(|(_, line)| line.starts_with('#'));
    let title = |line: &str| line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
    headings
        .map(|(_, line)| title(line).replace(|c: char| !c.is_alphanumeric() && !matches!(c, '-' | '_'), ""))
        .collect()
}

/// The lines outside of blocks of code, with their numbers.
fn prose(page: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut code = false;
    (1..).zip(page.lines()).filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        !code && !fence
    })
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("read {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_link_of_the_readme_and_the_manual_leads_somewhere() {
        let broken = broken().unwrap();
        assert!(broken.is_empty(), "{}", broken.join("\n"));
    }

    #[test]
    fn links_in_blocks_of_code_and_to_other_sites_are_passed_over() {
        let page = "[a](b.md#c)\n```sh\n[d](e)\n```\n[f](https://g) ![h](i.svg)";
        assert_eq!(links(page), [(1, "b.md#c".into()), (5, "i.svg".into())]);
    }

    #[test]
    fn headings_are_called_as_github_has_it() {
        assert_eq!(anchors("# A b, c's\n```sh\n# d\n```\n## E"), ["a-b-cs", "e"]);
    }

    #[test]
    fn what_is_not_there_is_named() {
        let readme = shell::root().join("README.md");
        assert_eq!(fault(&readme, "nowhere.md").unwrap().unwrap(), "no such file");
        assert_eq!(fault(&readme, "#nowhere").unwrap().unwrap(), "no such heading");
        assert_eq!(fault(&readme, "config/manual/copies.md#what-a-copy-is").unwrap(), None);
    }
}
