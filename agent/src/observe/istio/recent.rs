//! What one thread counted last: finds the series of a request by the addresses of what it carries, without a lock, an
//! allocation or a look at any text.

use std::sync::Arc;

use super::{
    labels::{Key, Reporter},
    series::Series,
    verdict::Verdict,
};
use crate::record::{Serving, Workload};

/// More than this many sets of labels in turn on one thread, and some are looked up in full again.
const PLACES: usize = 256;

#[derive(Debug)]
pub(super) struct Recent {
    places: Box<[Option<Known>; PLACES]>,
    /// Of the table it is a part of.
    pub(super) generation: usize,
}

/// Holds what its key refers to, so that no address can come to mean something else.
#[derive(Debug)]
pub(super) struct Known {
    key: Key,
    pub(super) series: Arc<Series>,
    /// The series is not the request's own: there was no room for it.
    pub(super) collapsed: bool,
}

/// A [`Key`] that belongs to a record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'r> {
    pub(super) reporter: Reporter,
    pub(super) source: Option<&'r Arc<Workload>>,
    pub(super) served: Option<&'r Arc<Serving>>,
    pub(super) verdict: Verdict,
}

impl Asked<'_> {
    pub(super) fn to_key(self) -> Key {
        let Self { reporter, source, served, verdict } = self;
        Key { reporter, source: source.cloned(), served: served.cloned(), verdict }
    }

    /// Spread by address and status: of one service most requests differ in nothing else.
    fn place(&self) -> usize {
        let source = self.source.map_or(0, |it| Arc::as_ptr(it).addr());
        let served = self.served.map_or(0, |it| Arc::as_ptr(it).addr());
        let mixed = source.rotate_left(7) ^ served ^ usize::from(self.verdict.code) << 4;
        // Fibonacci hashing: the upper bits of the product are spread best.
        let spread = (mixed as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        usize::try_from(spread).unwrap_or(0) % PLACES
    }

    fn is(&self, key: &Key) -> bool {
        fn same<T>(one: Option<&Arc<T>>, other: Option<&Arc<T>>) -> bool {
            one.map(Arc::as_ptr) == other.map(Arc::as_ptr)
        }
        self.verdict == key.verdict
            && self.reporter == key.reporter
            && same(self.served, key.served.as_ref())
            && same(self.source, key.source.as_ref())
    }
}

impl Recent {
    pub(super) fn new() -> Self {
        Self { places: Box::new([const { None }; PLACES]), generation: 0 }
    }

    /// The series of this request, or what `find` says it is.
    pub(super) fn known(
        &mut self,
        asked: Asked<'_>,
        generation: usize,
        find: impl FnOnce(&Key) -> (Arc<Series>, bool),
    ) -> &Known {
        if self.generation != generation {
            *self = Self { generation, ..Self::new() };
        }
        let place = &mut self.places[asked.place()];
        if !place.as_ref().is_some_and(|known| asked.is(&known.key)) {
            *place = None;
        }
        place.get_or_insert_with(|| {
            let key = asked.to_key();
            let (series, collapsed) = find(&key);
            Known { key, series, collapsed }
        })
    }
}
