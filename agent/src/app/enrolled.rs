//! Which namespaces are enrolled at this moment.

use std::sync::{Arc, Mutex, PoisonError};

use crate::capture::Enrolment;

/// The enrolled namespaces, shared with metrics and reloads.
#[derive(Clone, Default)]
pub(super) struct Enrolled(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// Locked for a copy of the list only.
    list: Mutex<Vec<Arc<Enrolment>>>,
    /// Locked while they are told something that must not be overtaken. The heart never waits for it.
    telling: Mutex<()>,
}

impl Enrolled {
    pub(super) fn add(&self, enrolment: Arc<Enrolment>) {
        self.0.list.lock().unwrap_or_else(PoisonError::into_inner).push(enrolment);
    }

    pub(super) fn all(&self) -> Vec<Arc<Enrolment>> {
        self.0.list.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells all of them something, one teller after the other.
    pub(super) fn tell<T>(&self, tell: impl FnOnce(Vec<Arc<Enrolment>>) -> T) -> T {
        let _alone = self.0.telling.lock().unwrap_or_else(PoisonError::into_inner);
        tell(self.all())
    }
}
