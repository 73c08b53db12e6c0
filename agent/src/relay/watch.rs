//! The tap, as each direction sees it.

use bytes::Bytes;

use super::{Tap, direction::Watch, leave::Parting};

pub(super) struct Requests<'t, T>(pub(super) &'t mut T);

impl<T: Tap> Watch for Requests<'_, T> {
    fn written(&mut self, piece: &Bytes) {
        self.0.request(piece);
    }

    fn change(&mut self, _: &Bytes) -> Option<Bytes> {
        None
    }

    fn unseen(&self) -> u64 {
        0
    }

    fn passed(&mut self, _: u64) {}
}

/// With what the agent that leaves has to say.
pub(super) struct Responses<'t, 'l, 'w, T>(pub(super) &'t mut T, pub(super) &'t mut Parting<'l, 'w>);

impl<T: Tap> Watch for Responses<'_, '_, '_, T> {
    fn written(&mut self, piece: &Bytes) {
        self.0.response(piece);
    }

    fn change(&mut self, chunk: &Bytes) -> Option<Bytes> {
        self.1.change(chunk)
    }

    fn unseen(&self) -> u64 {
        self.0.response_unseen()
    }

    fn passed(&mut self, count: u64) {
        self.0.response_passed(count);
    }
}
