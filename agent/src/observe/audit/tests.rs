use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, time::Instant};

use super::*;
use crate::{
    config::umbra::AuditTo,
    observe::testing::{copy, primary},
    record::DropReason,
};

const SIZE: usize = 64 << 10;

fn config(path: &Path) -> umbra::Audit {
    umbra::Audit { to: AuditTo::File(path.to_owned()), max_size: SIZE, keep: 2, dropped: false }
}

fn seen(path: &str) -> Arc<Seen> {
    Seen::new(primary("GET", path, 200), Some(copy(Outcome::Completed { status: 201 }))).into()
}

fn lines(path: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn what_came_before_the_end_is_written_and_for_its_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let interest = Arc::<Interest>::default();
    let audit = Audit::start(&config(&path), &interest).unwrap();
    assert!(interest.is_any());
    (0..1000).for_each(|n| audit.offer(&seen(&format!("/{n}"))));
    audit.close(Duration::from_secs(10));
    let mut all = Vec::new();
    for name in ["audit.log.2", "audit.log.1", "audit.log"] {
        let file = folder.path().join(name);
        let found = fs::metadata(&file).unwrap();
        assert!(
            found.len() <= SIZE as u64 + 4096 && found.permissions().mode() & 0o777 == 0o600,
            "{name}: {found:?}"
        );
        all.extend(lines(&file));
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "no more files than are to be kept");
    let last = all.last().unwrap();
    assert_eq!(
        (&last["path"], &last["verdict"], &last["shadow"]["status"]),
        (&"/999".into(), &"completed".into(), &201.into())
    );
    assert!(
        all.len() > 50
            && all.iter().rev().enumerate().all(|(n, line)| line["path"] == format!("/{}", 999 - n))
    );
    assert_eq!(audit.shared.written.load(Relaxed), 1000);
    drop(audit);
    assert!(!interest.is_any());
}

#[test]
fn a_file_that_is_moved_away_is_followed_by_another_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let audit = Audit::start(&config(&path), &Arc::default()).unwrap();
    audit.offer(&seen("/a"));
    eventually("the first line", || audit.shared.written.load(Relaxed) == 1);
    fs::rename(&path, folder.path().join("moved")).unwrap();
    eventually("a new file", || {
        audit.offer(&seen("/b"));
        path.exists()
    });
    audit.close(Duration::from_secs(10));
    assert_eq!(lines(&folder.path().join("moved"))[0]["path"], "/a");
    assert_eq!(lines(&path).last().unwrap()["path"], "/b");
}

#[test]
fn dropped_copies_are_written_where_that_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let dropped = copy(Outcome::Dropped(DropReason::Paused));
    for wanted in [false, true] {
        let config = umbra::Audit { dropped: wanted, ..config(&folder.path().join("audit.log")) };
        let audit = Audit::start(&config, &Arc::default()).unwrap();
        assert_eq!(audit.wants(&dropped), wanted);
        assert!(audit.wants(&copy(Outcome::Completed { status: 200 })));
    }
}

#[test]
fn a_place_that_cannot_be_written_is_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let error = Audit::start(&config(&folder.path().join("none/audit.log")), &Arc::default()).unwrap_err();
    assert!(format!("{error:#}").contains("none/audit.log (spec.audit)"), "{error:#}");
}
