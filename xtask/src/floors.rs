//! Who may import whom in the agent: a room imports from lower floors only. One table, read from the design.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

/// Floor → its rooms: folders, or files without a folder, of agent/src. Floor 0 is the package `umbra-common`.
const FLOORS: &[(u8, &[&str])] = &[
    (7, &["main", "cli"]),
    (6, &["app"]),
    (5, &["connection", "admin", "source"]),
    (4, &["relay", "shadow", "observe"]),
    (3, &["capture", "upstream"]),
    (2, &["wire", "route"]),
    (1, &["config", "record", "message", "drain", "process"]),
];

/// Declares the rooms and is in none.
const HALL: &str = "lib";

/// Every import that goes up or across, as `file:line: what`.
pub(crate) fn violations(source_root: &Path) -> Result<Vec<String>> {
    let mut files = Vec::new();
    collect(source_root, &mut files)?;
    files.sort();
    let mut found = Vec::new();
    for file in files {
        let room = room_of(file.strip_prefix(source_root)?);
        if room == HALL {
            continue;
        }
        let shown = file.strip_prefix(crate::shell::root()).unwrap_or(&file).display();
        let Some(floor) = floor_of(&room) else {
            found.push(format!(
                "{shown}: the room `{room}` is on no floor: add it to the table in xtask/src/floors.rs"
            ));
            continue;
        };
        let text = fs::read_to_string(&file)?;
        let faults = imports(&text)
            .into_iter()
            .filter_map(|(line, other)| fault(&room, floor, &other).map(|f| (line, f)));
        found.extend(faults.map(|(line, fault)| format!("{shown}:{line}: {fault}")));
    }
    Ok(found)
}

fn fault(room: &str, floor: u8, other: &str) -> Option<String> {
    // What is no room is an item of lib.rs, such as a macro.
    let other_floor = floor_of(other).filter(|_| other != room)?;
    (other_floor >= floor).then(|| {
        format!("`{room}` (floor {floor}) imports from `{other}` (floor {other_floor}); only lower floors may be used")
    })
}

fn floor_of(room: &str) -> Option<u8> {
    FLOORS.iter().find(|(_, rooms)| rooms.contains(&room)).map(|(floor, _)| *floor)
}

fn room_of(path: &Path) -> String {
    let first =
        path.components().next().map(|component| component.as_os_str().to_string_lossy().into_owned());
    first.map(|name| name.trim_end_matches(".rs").to_owned()).unwrap_or_default()
}

/// Every `crate::room` with its line; of `crate::{a::…, b}`, each. Comments are passed over.
fn imports(source: &str) -> Vec<(usize, String)> {
    let code: Vec<&str> = source.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let code = code.join("\n");
    let mut found = Vec::new();
    for (at, start) in code.match_indices("crate::") {
        let path = at + start.len();
        for name in first_names(&code[path..]) {
            let line = 1 + code[..path + name].matches('\n').count();
            found.push((line, identifier(&code[path + name..]).to_owned()));
        }
    }
    found
}

/// Where names begin that follow a path so far: one, or in a `{…}` group the first of each part.
fn first_names(path: &str) -> Vec<usize> {
    if !path.starts_with('{') {
        return vec![0];
    }
    let mut names = Vec::new();
    let (mut depth, mut expected) = (0, false);
    for (at, c) in path.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => break,
            '}' => depth -= 1,
            c if expected && !c.is_whitespace() => {
                names.push(at);
                expected = false;
            }
            _ => {}
        }
        expected |= depth == 1 && matches!(c, '{' | ',');
    }
    names
}

fn identifier(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_are_found_wherever_they_stand() {
        let source = "use crate::{\n    config::{Meta, Report},\n    record,\n};\n\
                      fn f() { crate::wire::http1::read() } // crate::app";
        assert_eq!(imports(source), [(2, "config".into()), (3, "record".into()), (5, "wire".into())]);
    }

    #[test]
    fn only_lower_floors_may_be_imported() {
        assert!(fault("relay", 4, "shadow").is_some());
        assert!(fault("route", 2, "wire").is_some());
        assert!(fault("config", 1, "app").is_some());
        assert!(fault("relay", 4, "wire").is_none());
        assert!(fault("relay", 4, "relay").is_none());
        assert!(fault("record", 1, "some_macro").is_none());
    }
}
