//! Files that are made from others, and lie in the repository for those who only want to use them.

use std::{env, fs};

use serde_json::Value;

use crate::repository;

/// Fails when the file does not say what would be made now, however it is written; with `UMBRA_RENEW` the text is written.
pub(crate) fn is_current(path: &str, made: &Value, text: &str) {
    if renewed(path, text) {
        return;
    }
    let lies: Value = serde_saphyr::from_str(&lies(path)).unwrap();
    assert!(lies == *made, "{}", out_of_date(path));
}

/// The same of a file where every word counts, comments too.
pub(crate) fn is_current_text(path: &str, text: &str) {
    if renewed(path, text) {
        return;
    }
    let lies = lies(path);
    let place = lies.lines().zip(text.lines()).position(|(lies, made)| lies != made);
    let place = place.unwrap_or(lies.lines().count().min(text.lines().count())) + 1;
    assert!(lies == text, "line {place}: {}", out_of_date(path));
}

fn lies(path: &str) -> String {
    fs::read_to_string(repository(path)).unwrap_or_default()
}

fn renewed(path: &str, text: &str) -> bool {
    let renew = env::var_os("UMBRA_RENEW").is_some();
    if renew {
        fs::write(repository(path), text).unwrap();
    }
    renew
}

fn out_of_date(path: &str) -> String {
    format!("{path} is out of date: run UMBRA_RENEW=1 cargo test -p umbra-tests --test deploy, twice")
}
