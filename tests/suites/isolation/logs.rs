//! An agent that has much to say, and nobody who takes it: what is lost is counted, and that is all that happens.

use std::{cell::Cell, fs, io::ErrorKind};

use nix::sys::statvfs::statvfs;
use support::Agent;

use crate::trial::{Ends, Setting, trial};

#[test]
fn logs_on_a_full_disk() {
    let full =
        "mount -t tmpfs -o size=16k tmpfs /mnt\ncat /dev/zero >/mnt/other 2>&- || true\nexec >/mnt/log 2>&1";
    logging("logs on a full disk", full, "write", 1, disk_is_full);
}

#[test]
fn logs_into_a_pipe_nobody_reads() {
    let unread = "mount -t tmpfs tmpfs /mnt\nmkfifo /mnt/log\nexec 1<>/mnt/log 2>&1";
    logging("logs into a pipe nobody reads", unread, "too_many", 3, |_| {});
}

#[test]
fn logs_into_a_closed_pipe() {
    // Whoever read it has left: a write is answered with SIGPIPE and EPIPE.
    let closed = "mount -t tmpfs tmpfs /mnt\nmkfifo /mnt/log\nexec 3<>/mnt/log 1>/mnt/log 2>&1 3>&-";
    logging("logs into a closed pipe", closed, "write", 1, |_| {});
}

/// Under each load, from the given one on, more lines are lost, for this reason. A pipe and what waits before it have room
/// for what the first loads say.
fn logging(kind: &str, prelude: &str, reason: &str, from: u32, holds: fn(&Agent)) {
    let lost = format!("umbra_log_lines_lost_total{{reason=\"{reason}\"}}");
    let (load, before) = (Cell::new(0), Cell::new(0.0));
    trial(kind, Ends::As("outcome=\"failed\",reason=\"connect\""), |_, shadow| {
        let refusing = shadow.refusing();
        let after_each = Box::new(move |agent: &Agent| {
            holds(agent);
            load.set(load.get() + 1);
            let now = agent.metrics().sum(&lost);
            let more = now > before.replace(now);
            assert!(more || load.get() < from, "no further line was lost: {lost} {now}");
        });
        let prelude = prelude.to_owned();
        Setting { prelude, logs: "trace", after_each, ..Setting::new(refusing.address(), refusing) }
    });
}

/// As the agent sees it, and whoever else would write there.
fn disk_is_full(agent: &Agent) {
    let disk = format!("/proc/{}/root/mnt", agent.pid());
    assert_eq!(statvfs(disk.as_str()).unwrap().blocks_available(), 0);
    let refused = fs::write(format!("{disk}/more"), "x").unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::StorageFull);
    let log = fs::metadata(format!("{disk}/log")).unwrap();
    assert_eq!(log.len(), 0, "there was room for some of the log");
}
