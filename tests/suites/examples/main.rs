//! What requests do under each shipped example: `config/examples/NAME.yaml` has the table `NAME.txt` here, written by
//! hand from Istio's and the Gateway API's meaning. The library answers every row, `umbra match` one of each table.
//!
//! ```text
//! arrives at 10.98.1.2:8080               the endpoint, unless a row has another
//! warns UMB0203                           what `check` says, but for fields without effect (UMB0201, UMB0202)
//!
//! # Why this is so.
//! POST http://my-app/cart?id=1
//!   with x-tester: yes                    headers; where the URL has it, and unless written here, so is Host
//!   from shop app=frontend                the client: namespace and labels, or its address; else nobody knows it
//!   at 10.98.3.2:8080
//!   => all routes, copies 50 % to 10.98.3.2:8080 and 10.98.3.3:8080, copies 1 % to nowhere
//!      to my-app.default.svc.cluster.local:80 v1
//!      as POST /basket?id=1               the copies' method and path,
//!      with x-trail: a, b                 their headers,
//!      without cookie                     and what they lack
//!      dropped as upgrade                 or why there never are any
//! ```
//!
//! The sentence after `=>` begins with the rule (`RULE of NAMESPACE/NAME`, where several may speak) and says `routes`,
//! `redirects` or `answers`; instead of copies it may end in `copies nothing: WHY`. Or it is `no rule: WHY`,
//! `no VirtualService`, `no service` (which of several is not known) or `not captured`. A WHY may be left out.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a suite fails where it stands")]

mod library;
mod outcome;
mod program;
mod table;

use std::{collections::BTreeSet, fs, path::Path};

use table::Table;

/// Names of the files with this ending.
fn names(folder: &Path, ending: &str) -> BTreeSet<String> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let paths = paths.filter(|path| path.extension().is_some_and(|found| found == ending));
    paths.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

fn tables() -> Vec<Table> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("suites/examples");
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/examples");
    let table = |name: &String| {
        let text = fs::read_to_string(here.join(format!("{name}.txt"))).unwrap();
        Table::read(name, &examples.join(format!("{name}.yaml")), &text)
    };
    assert_eq!(
        names(&here, "txt"),
        names(&examples, "yaml"),
        "each example has a table and each table an example"
    );
    names(&here, "txt").iter().map(table).collect()
}

/// Fails with everything that is wrong, not with the first.
fn none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} wrong:\n\n{}", wrong.len(), wrong.join("\n\n"));
}

#[test]
fn every_example_is_told_by_five_requests_or_more() {
    for table in tables() {
        assert!(table.rows.len() >= 5, "{} has {} rows", table.name, table.rows.len());
        let mut seen = BTreeSet::new();
        let twice = table.rows.iter().find(|row| !seen.insert(&row.request));
        assert!(twice.is_none(), "{} asks twice: {:?}", table.name, twice);
    }
}

#[test]
fn every_example_passes_check_with_the_warnings_it_is_about() {
    let wrong: Vec<_> = tables().iter().filter_map(|table| library::check(table).err()).collect();
    none(&wrong);
}

#[test]
fn every_request_does_what_its_row_says() {
    let wrong: Vec<_> = tables().iter().flat_map(library::differences).collect();
    none(&wrong);
}

#[test]
fn the_program_says_the_same_as_the_library() {
    let wrong: Vec<_> = tables().iter().flat_map(program::differences).collect();
    none(&wrong);
}
