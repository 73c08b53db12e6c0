//! Files that are made from others, and lie in the repository for those who only want to use them.

use std::{env, fs};

use crate::repository;

/// Fails when the file is not what would be made now; with `UMBRA_RENEW` it is written instead.
pub(crate) fn is_current(path: &str, made: &str) {
    let file = repository(path);
    if env::var_os("UMBRA_RENEW").is_some() {
        fs::write(file, made).unwrap();
        return;
    }
    let lies = fs::read_to_string(file).unwrap_or_default();
    let place = lies.lines().zip(made.lines()).position(|(lies, made)| lies != made);
    let place = place.unwrap_or(lies.lines().count().min(made.lines().count())) + 1;
    assert!(
        lies == made,
        "{path} is out of date from line {place} on: run UMBRA_RENEW=1 cargo test -p umbra-tests --test deploy"
    );
}
