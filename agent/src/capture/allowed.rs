//! What a namespace allows of clients' addresses, by family: found out when it is enrolled, and less while rules of others
//! are in the way.

use std::{
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::netlink::Family;

/// What a namespace allows for one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Allowed {
    /// The client's address, and none but it.
    Kept,
    /// The client's address; a local one when its ports are used up.
    Preferred,
    /// A local address.
    Local,
}

/// What is allowed at this moment.
#[derive(Debug)]
pub(super) struct AllowedNow {
    v4: Allowed,
    v6: Allowed,
    /// By family, IPv4 first: what has come since. Locked for a look only.
    in_the_way: Mutex<[Option<String>; 2]>,
}

impl AllowedNow {
    /// Of IPv4 and of IPv6.
    pub(super) fn new([v4, v6]: [Allowed; 2]) -> Self {
        Self { v4, v6, in_the_way: Mutex::default() }
    }

    /// For an app at such an address.
    pub(super) fn at(&self, address: IpAddr) -> Allowed {
        self.of(Family::of(address))
    }

    pub(super) fn of(&self, family: Family) -> Allowed {
        let (at_first, index) = self.at_first(family);
        // Who wants none but the client's address would rather have it fail.
        let lost = at_first == Allowed::Preferred && self.in_the_way()[index].is_some();
        if lost { Allowed::Local } else { at_first }
    }

    /// Whether clients' addresses were kept when the namespace was enrolled.
    pub(super) fn was_kept(&self, family: Family) -> bool {
        self.at_first(family).0 != Allowed::Local
    }

    /// What is in the way from now on. Returns whether that is news.
    pub(super) fn obstruct(&self, family: Family, rule: Option<String>) -> bool {
        let (_, index) = self.at_first(family);
        let mut all = self.in_the_way();
        let news = all[index] != rule;
        all[index] = rule;
        news
    }

    /// What has come since, for a person.
    pub(super) fn notes(&self) -> impl Iterator<Item = String> + use<> {
        let families = self.in_the_way().clone().into_iter().zip(["IPv4", "IPv6"]);
        families.filter_map(|(rule, family)| Some(note(family, &rule?)))
    }

    fn at_first(&self, family: Family) -> (Allowed, usize) {
        match family {
            Family::V4 => (self.v4, 0),
            Family::V6 => (self.v6, 1),
        }
    }

    fn in_the_way(&self) -> MutexGuard<'_, [Option<String>; 2]> {
        self.in_the_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says that clients' addresses of a family cannot be kept.
pub(super) fn note(family: &str, reason: &dyn std::fmt::Display) -> String {
    format!("apps see a local address instead of their {family} clients': {reason}")
}
