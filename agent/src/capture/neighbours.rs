//! Other agents in the same namespace: an older or newer one during an upgrade, or a second one that somebody started.
//! The kernel asks all of their programs, one after the other, about every connection, so each must know what the others
//! connect to the apps.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

use super::{maps::Maps, netns::Netns, query};

/// An older agent looks for newer ones with each heartbeat, every 100 ms.
const TO_BE_SEEN: Duration = Duration::from_millis(300);

/// Who else is there.
pub(super) struct Neighbours {
    own_program: u32,
    /// Other programs when last looked, of whatever kind. Locked by the heart alone.
    programs: Mutex<HashSet<u32>>,
}

impl Neighbours {
    /// Finds those that are there already, and gives them the time to find this one. Blocks for that long, where there
    /// are any.
    pub(super) fn meet(netns: &Netns, own_program: u32, maps: &Maps) -> Self {
        let neighbours = Self { own_program, programs: Mutex::default() };
        neighbours.look(netns, maps);
        if query::another_agent(netns, own_program).unwrap_or(false) {
            tracing::info!(netns = netns.name(), "another umbra captures here too");
            thread::sleep(TO_BE_SEEN);
        }
        neighbours
    }

    /// Looks again who is there. One system call while that stays the same.
    pub(super) fn look(&self, netns: &Netns, maps: &Maps) {
        let Ok(mut attached) = query::attached(netns) else {
            // Without an answer those known stay known.
            return;
        };
        attached.remove(&self.own_program);
        let mut programs = self.programs.lock().unwrap_or_else(PoisonError::into_inner);
        if *programs != attached {
            maps.announce_to(query::bypasses(&attached));
            *programs = attached;
        }
    }
}
