//! What tells one configuration from the next: the objects that went and those that came. All that is kept from one to
//! the other is brought up to date by these, so that a change costs what it touches.

use std::sync::Arc;

use foldhash::HashSet;

use super::objects::Objects;
use crate::config::Resources;

/// A configuration, compared with the one that all kept tables are about.
#[derive(Debug, Default)]
pub(super) struct Difference<'a> {
    pub(super) now: Objects<'a>,
    pub(super) gone: Objects<'a>,
    /// Those of `now` that were not there.
    pub(super) come: Objects<'a>,
}

impl<'a> Difference<'a> {
    /// An object that stayed in its part is the same. Parts in another order are taken for other parts: what is made of
    /// several objects may depend on which is first.
    pub(super) fn between(before: &'a [Arc<Resources>], now: &'a [Arc<Resources>]) -> Self {
        let (gone, come) = differing(before, now);
        let places = |parts: &[Arc<Resources>]| -> HashSet<_> { parts.iter().map(Arc::as_ptr).collect() };
        let (of_gone, of_come) = (places(gone), places(come));
        let stays = |of_others: &HashSet<_>, part: &Arc<Resources>| of_others.contains(&Arc::as_ptr(part));
        let in_order =
            |parts: &'a [Arc<Resources>], others| parts.iter().filter(move |part| stays(others, part));
        let moved = !in_order(gone, &of_come).map(Arc::as_ptr).eq(in_order(come, &of_gone).map(Arc::as_ptr));
        let only = |parts: &'a [Arc<Resources>], others: &HashSet<_>| {
            Objects::of(parts.iter().filter(|part| moved || !stays(others, part)).map(|part| &**part))
        };
        Self {
            gone: only(gone, &of_come),
            come: only(come, &of_gone),
            now: Objects::of(now.iter().map(|part| &**part)),
        }
    }

    /// Everything came.
    pub(super) fn from_nothing(resources: &'a Resources) -> Self {
        let all = || Objects::of([resources]);
        Self { now: all(), gone: Objects::default(), come: all() }
    }

    /// Whether any object of a kind came or went.
    pub(super) fn any<T: 'a>(&self, list: impl for<'o> Fn(&'o Objects<'a>) -> &'o Vec<&'a T>) -> bool {
        !list(&self.gone).is_empty() || !list(&self.come).is_empty()
    }
}

/// Two lists without what they begin and end with alike.
pub(super) fn differing<'l, T: ?Sized>(
    before: &'l [Arc<T>],
    now: &'l [Arc<T>],
) -> (&'l [Arc<T>], &'l [Arc<T>]) {
    let same = |(one, other): &(&Arc<T>, &Arc<T>)| Arc::ptr_eq(one, other);
    let start = before.iter().zip(now).take_while(same).count();
    let (before, now) = (&before[start..], &now[start..]);
    let end = before.iter().rev().zip(now.iter().rev()).take_while(same).count();
    (&before[..before.len() - end], &now[..now.len() - end])
}
