//! Nothing that a CRD knows is ignored in silence: every field of every published list is honoured or named, and the
//! shipped examples show each of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use super::*;
use crate::config::{
    Code, Report,
    decode::{self, Node, Value},
    testing::{read_text, render},
};

/// Kind → paths of its fields, as their CRDs list them.
fn published() -> BTreeMap<&'static str, BTreeSet<String>> {
    let (mut lists, mut kind) = (BTreeMap::<_, BTreeSet<_>>::new(), "");
    for line in include_str!("fields.txt").lines().filter(|line| !line.starts_with('#')) {
        match line.trim().split_once(": ") {
            None => kind = line.trim(),
            Some((parent, names)) => {
                let paths = names.split(' ').map(|name| format!("{parent}.{name}"));
                lists.entry(kind).or_default().extend(paths);
            }
        }
    }
    lists
}

/// The rows of a kind's list, one for each path.
fn rows(kind: &str) -> BTreeMap<String, &'static str> {
    let list = KINDS.iter().find(|(name, _)| *name == kind).map_or(&[][..], |(_, lists)| lists);
    list.iter()
        .copied()
        .flatten()
        .flat_map(|&(path, text)| expand(path).into_iter().map(move |path| (path, text)))
        .collect()
}

/// What it means that the field at `path` is not honoured.
fn meaning(kind: &str, path: &str) -> Option<&'static str> {
    rows(kind).get(&plain(path)).copied().filter(|meaning| !meaning.is_empty())
}

/// The row that a field falls under: that of a field above it which is not honoured, or its own.
fn row(kind: &str, path: &str) -> Option<String> {
    let rows = rows(kind);
    let above = path.match_indices('.').map(|(end, _)| &path[..end]);
    let unhonoured = above.into_iter().find(|path| meaning(kind, path).is_some());
    unhonoured.or_else(|| rows.contains_key(path).then_some(path)).map(str::to_owned)
}

fn examples() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/examples");
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: std::path::PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name, std::fs::read_to_string(&path).unwrap())
    };
    let mut read: Vec<_> = paths.map(read).collect();
    read.sort();
    read
}

/// What overrides something has the fields of what it overrides.
fn folded(path: &str) -> String {
    let mut path = path.replace("subsets.trafficPolicy", "trafficPolicy");
    for block in ["loadBalancer", "connectionPool", "outlierDetection", "tls"] {
        path = path.replace(&format!("portLevelSettings.{block}"), block);
    }
    path.replace("backendRefs.filters", "filters")
}

/// Kind → the paths of everything written in the examples.
fn written() -> BTreeMap<String, BTreeSet<String>> {
    fn walk(node: &Node, path: &str, paths: &mut BTreeSet<String>) {
        match &node.value {
            Value::Map(entries) => {
                // The keys of these are data.
                let maps = ["match.headers", "match.withoutHeaders", "match.queryParams"];
                let keyed = maps.iter().any(|end| path.ends_with(end));
                for (key, value) in entries {
                    let path = match path {
                        "" => key.name.clone(),
                        path if keyed => format!("{path}[]"),
                        path => format!("{path}.{}", key.name),
                    };
                    walk(value, &path, paths);
                    paths.insert(folded(&plain(&path)));
                }
            }
            Value::List(items) => items.iter().for_each(|item| walk(item, path, paths)),
            _ => {}
        }
    }
    let mut kinds = BTreeMap::<String, BTreeSet<String>>::new();
    for (name, text) in examples() {
        for document in decode::testing::documents(&name, &text, &mut Report::default()) {
            let Value::Map(entries) = &document.value else { continue };
            let kind = entries.iter().find_map(|(key, node)| match &node.value {
                Value::Text(text) if key.name == "kind" => Some(text.clone()),
                _ => None,
            });
            walk(&document, "", kinds.entry(kind.unwrap()).or_default());
        }
    }
    kinds
}

#[test]
fn every_published_field_is_honoured_or_says_what_it_means_that_it_is_not() {
    for (kind, paths) in published() {
        let missing: Vec<_> = paths.iter().filter(|path| row(kind, path).is_none()).collect();
        assert!(missing.is_empty(), "{kind} is silent about {missing:#?}");
        // A row for a field that no CRD has would be a slip of the pen. Fields that CRDs hide are listed here.
        let hidden = ["spec.http.redirect.prefixRewrite"];
        let known = |row: &String| {
            let row = folded(row);
            let below = format!("{row}.");
            paths.iter().any(|path| *path == row || path.starts_with(&below))
                || hidden.contains(&row.as_str())
        };
        let strange: Vec<_> = rows(kind).into_keys().filter(|row| !known(row)).collect();
        assert!(strange.is_empty(), "{kind} has no {strange:#?}");
    }
}

#[test]
fn the_examples_show_every_field() {
    let written = written();
    for (kind, paths) in published() {
        let rows: BTreeSet<_> = paths.iter().filter_map(|path| row(kind, path)).collect();
        let shown = &written[kind];
        let missing: Vec<_> = rows.iter().filter(|row| !shown.contains(*row)).collect();
        assert!(missing.is_empty(), "no example of {kind} has {missing:#?}");
    }
}

#[test]
fn every_unhonoured_field_of_the_examples_is_named_and_no_other() {
    for (file, text) in examples() {
        let (_, report) = read_text(&text);
        for fault in report.diagnostics.iter().filter(|fault| fault.code == Code::NotHonoured) {
            let kind = fault.object.as_deref().and_then(|object| object.split(' ').next()).unwrap();
            let (path, what) = fault.message.split_once(": ").unwrap();
            let meaning = meaning(kind, path);
            assert!(meaning.is_some_and(|meaning| what.ends_with(meaning)), "{file}: {}", fault.message);
        }
        let mut named = BTreeMap::<_, BTreeSet<_>>::new();
        for fault in &report.diagnostics {
            let kind = fault.object.as_deref().and_then(|object| object.split(' ').next()).unwrap_or("");
            named
                .entry(kind.to_owned())
                .or_default()
                .insert(plain(fault.message.split(": ").next().unwrap()));
        }
        for document in decode::testing::documents(&file, &text, &mut Report::default()) {
            unhonoured(&document, &named, &render(&text, &report));
        }
    }
}

/// Checks that each field of a document that is not honoured is among the named ones.
fn unhonoured(document: &Node, named: &BTreeMap<String, BTreeSet<String>>, report: &str) {
    fn walk(node: &Node, path: &str, kind: &str, named: &BTreeSet<String>, report: &str) {
        match &node.value {
            Value::Map(entries) => {
                for (key, value) in entries {
                    let path =
                        if path.is_empty() { key.name.clone() } else { format!("{path}.{}", key.name) };
                    if meaning(kind, &path).is_some() {
                        assert!(named.contains(&path), "{path} is not named in\n{report}");
                    } else {
                        walk(value, &path, kind, named, report);
                    }
                }
            }
            Value::List(items) => items.iter().for_each(|item| walk(item, path, kind, named, report)),
            _ => {}
        }
    }
    let Value::Map(entries) = &document.value else { return };
    for (key, node) in entries {
        if let (Value::Text(kind), "kind") = (&node.value, key.name.as_str()) {
            let none = BTreeSet::new();
            walk(document, "", kind, named.get(kind).unwrap_or(&none), report);
        }
    }
}

#[test]
fn braces_stand_for_each_of_their_parts() {
    assert_eq!(expand("a.{,b.}c.{d,e}"), ["a.c.d", "a.c.e", "a.b.c.d", "a.b.c.e"]);
    assert_eq!(plain("spec.http[0].query_params[x.y][1].exact"), "spec.http.queryParams.exact");
}
