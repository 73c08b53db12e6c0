//! The known host that a person who wrote an unknown one may have meant.

use std::{collections::BTreeSet, ops::Bound};

use super::Registry;

/// How many names are compared by their letters in one compilation: a person reads few hints, and comparing is slow.
const COMPARISONS: usize = 50_000;

/// The known hosts, in order.
pub(in crate::route) struct Nearest<'r> {
    hosts: BTreeSet<&'r str>,
    comparisons: usize,
}

impl<'r> Nearest<'r> {
    pub(in crate::route) fn new(registry: &'r Registry) -> Self {
        Self { hosts: registry.services.iter().map(|service| &*service.host).collect(), comparisons: 0 }
    }

    /// The same name elsewhere, else one a few letters away.
    pub(in crate::route) fn to(&mut self, host: &str) -> Option<&'r str> {
        let starting = |start: &str| {
            let known = self.hosts.range::<str, _>((Bound::Included(start), Bound::Unbounded)).next()?;
            known.starts_with(start).then_some(*known)
        };
        let name = host.split('.').next().unwrap_or(host);
        starting(&format!("{host}."))
            .or_else(|| starting(&format!("{name}.")))
            .or_else(|| self.hosts.get(name).copied())
            .or_else(|| self.by_letters(host))
    }

    fn by_letters(&mut self, host: &str) -> Option<&'r str> {
        self.comparisons += self.hosts.len();
        if self.comparisons > COMPARISONS {
            return None;
        }
        let nearest = self.hosts.iter().map(|known| (strsim::damerau_levenshtein(host, known), *known)).min();
        nearest.filter(|&(distance, _)| distance <= 3).map(|(_, known)| known)
    }
}
