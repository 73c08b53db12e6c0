use std::collections::BTreeSet;

use super::*;

/// The manual's table of what becomes of copies, whose first cells are outcome and reason.
#[test]
fn the_manual_explains_every_reason_and_no_other() {
    let page = include_str!("../../../config/manual/copies.md");
    let (_, section) = page.split_once("\n## What becomes of each copy\n").unwrap();
    let rows: Vec<Vec<_>> = section
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"))
        .map(|row| row.split(" | ").map(str::trim).collect())
        .filter(|row: &Vec<_>| row[0] != "outcome")
        .collect();
    let failed = FailReason::ALL.iter().map(|reason| ("failed", reason.as_str()));
    let reasons = failed.chain(DropReason::ALL.iter().map(|reason| ("dropped", reason.as_str())));

    let told: BTreeSet<_> = rows.iter().map(|row| (row[0], row[1].trim_matches('`'))).collect();
    assert_eq!(told, reasons.collect());
    assert_eq!(told.len(), rows.len(), "a reason is told twice");
    for row in rows {
        assert!(
            row.len() == 4 && !row[2].is_empty() && !row[3].is_empty(),
            "{row:?} lacks what it means or what to do"
        );
    }
}
