//! What one client of the live view has not read yet: bounded in lines and bytes. What does not fit is dropped, and the
//! client finds how many lines are missing just where they are.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::Notify;

use crate::observe::{Filter, Seen};

/// Lines that wait for one client.
pub(super) const LINES: usize = 256;
const BYTES: usize = 1 << 20;

/// What a client is told.
#[derive(Clone, Debug)]
pub enum Item {
    Line(Arc<Seen>),
    /// So many lines are missing here.
    Dropped(u64),
}

#[derive(Debug)]
pub(super) struct Outbox {
    filter: Filter,
    waiting: Mutex<Waiting>,
    some: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    items: VecDeque<Item>,
    lines: usize,
    bytes: usize,
    closed: bool,
}

impl Outbox {
    pub(super) fn new(filter: Filter) -> Self {
        Self { filter, waiting: Mutex::default(), some: Notify::new() }
    }

    /// False when it fits the filter and there is no room.
    pub(super) fn put(&self, seen: &Arc<Seen>) -> bool {
        if !self.filter.fits(seen) {
            return true;
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.lines >= LINES || waiting.bytes + seen.weight() > BYTES {
            drop(waiting);
            self.drop_lines(1);
            return false;
        }
        waiting.lines += 1;
        waiting.bytes += seen.weight();
        waiting.items.push_back(Item::Line(Arc::clone(seen)));
        drop(waiting);
        self.some.notify_one();
        true
    }

    pub(super) fn drop_lines(&self, more: u64) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        match waiting.items.back_mut() {
            Some(Item::Dropped(lines)) => *lines += more,
            // At most one between two lines, so there are never more of them than lines, but for one.
            _ => waiting.items.push_back(Item::Dropped(more)),
        }
        drop(waiting);
        self.some.notify_one();
    }

    pub(super) fn close(&self) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.some.notify_one();
    }

    pub(super) async fn next(&self) -> Option<Item> {
        loop {
            {
                let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(item) = waiting.items.pop_front() {
                    if let Item::Line(seen) = &item {
                        waiting.lines -= 1;
                        waiting.bytes -= seen.weight();
                    }
                    return Some(item);
                }
                if waiting.closed {
                    return None;
                }
            }
            self.some.notified().await;
        }
    }
}
