//! What one side's frames must keep to because the other side said so (RFC 9113 §6.5): the settings that matter to an
//! onlooker, and the moments from which they hold.
//!
//! A limit holds once its receiver has acknowledged it; before, both the old and the new value may be met. The other
//! settings change nothing in how bytes are read: windows and MAX_HEADER_LIST_SIZE are the peers' own affair, a push is
//! passed over whether or not it was allowed.

use std::collections::VecDeque;

use super::{Unread, binary, hpack};

/// How many SETTINGS frames of one side may wait for their acknowledgement; each takes 32 bytes.
pub(super) const UNACKNOWLEDGED_MAX: usize = 64;
/// RFC 9113 §4.2.
const DEFAULT_FRAME: usize = 16 * 1024;

const HEADER_TABLE_SIZE: u16 = 1;
const ENABLE_PUSH: u16 = 2;
const INITIAL_WINDOW_SIZE: u16 = 4;
const MAX_FRAME_SIZE: u16 = 5;

/// What one SETTINGS frame changes.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::wire) struct Change {
    table: Option<usize>,
    frame: Option<usize>,
    binary: bool,
}

/// The limits of one direction.
#[derive(Debug)]
pub(super) struct Limits {
    table: usize,
    frame: usize,
    /// Values of gRPC's own making may come: once allowed, for good.
    binary: bool,
    waiting: VecDeque<Change>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { table: hpack::DEFAULT_TABLE, frame: DEFAULT_FRAME, binary: false, waiting: VecDeque::new() }
    }
}

impl Change {
    /// Reads a SETTINGS frame's payload, a multiple of six bytes. Later values overrule earlier ones.
    pub(in crate::wire) fn parse(payload: &[u8]) -> Result<Self, Unread> {
        let mut change = Self::default();
        for entry in payload.chunks_exact(6) {
            let id = u16::from_be_bytes([entry[0], entry[1]]);
            let value = u32::from_be_bytes([entry[2], entry[3], entry[4], entry[5]]);
            match id {
                HEADER_TABLE_SIZE => change.table = Some(value as usize),
                MAX_FRAME_SIZE if (1 << 14..1 << 24).contains(&value) => change.frame = Some(value as usize),
                binary::ALLOWED => change.binary = value == 1,
                MAX_FRAME_SIZE => return Err(Unread::Settings),
                ENABLE_PUSH if value > 1 => return Err(Unread::Settings),
                INITIAL_WINDOW_SIZE if value > i32::MAX as u32 => return Err(Unread::Settings),
                _ => {}
            }
        }
        Ok(change)
    }
}

impl Limits {
    /// The other side has asked for this.
    pub(super) fn asked(&mut self, change: Change) -> Result<(), Unread> {
        if self.waiting.len() == UNACKNOWLEDGED_MAX {
            return Err(Unread::SettingsUnacknowledged);
        }
        self.binary |= change.binary;
        self.waiting.push_back(change);
        Ok(())
    }

    /// This side has agreed to the oldest change it was asked for. Returns the new limit of its table, if that changed.
    pub(super) fn agreed(&mut self) -> Result<Option<usize>, Unread> {
        let change = self.waiting.pop_front().ok_or(Unread::Settings)?;
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new();
        }
        Ok(self.put(change))
    }

    /// A change that this side has agreed to. Returns the new limit of its table, if that changed.
    pub(super) fn put(&mut self, change: Change) -> Option<usize> {
        self.table = change.table.unwrap_or(self.table);
        self.frame = change.frame.unwrap_or(self.frame);
        change.table
    }

    /// The longest payload of a frame.
    pub(super) fn frame_max(&self) -> usize {
        self.waiting.iter().filter_map(|change| change.frame).fold(self.frame, usize::max)
    }

    /// Whether this side may send binary metadata as it is.
    pub(super) fn binary(&self) -> bool {
        self.binary
    }

    /// The largest table of header compression.
    pub(super) fn table_max(&self) -> usize {
        self.waiting.iter().filter_map(|change| change.table).fold(self.table, usize::max)
    }
}
