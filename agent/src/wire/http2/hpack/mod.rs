//! Header compression (RFC 7541) as an onlooker must decode it: every block of a direction, in order, whether or not
//! its fields are wanted.
//!
//! Our own, because no crate fits: `h2`'s decoder is private; `loona-hpack` (once `hpack`, `fluke-hpack`) and `httlib-hpack`
//! copy every field and bound neither their number nor their size.

mod fields;
mod huffman;
mod input;
mod table;

#[cfg(test)]
mod tests;

use std::sync::Arc;

pub(super) use self::fields::{Fields, HEAD_MAX};
use self::{
    input::Input,
    table::{Name, Table},
};
use crate::wire::Unread;

/// The dynamic table's size before any SETTINGS.
pub(super) const DEFAULT_TABLE: usize = table::DEFAULT_SIZE;
/// The largest dynamic table that is followed: what browsers offer. It holds up to 200 KiB of memory, when all its
/// entries are empty; the usual 4096 bytes up to 13 KiB.
pub(super) const TABLE_MAX: usize = 64 * 1024;

/// Decodes the header blocks of one direction.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    table: Table,
    /// A limit below the table's maximum was acknowledged, and the encoder has not followed it yet.
    owed: Option<usize>,
}

impl Decoder {
    /// The sender of the blocks acknowledged this limit of its table.
    pub(super) fn limit(&mut self, size: usize) {
        if size < self.owed.unwrap_or(self.table.max()) {
            self.owed = Some(size);
        }
    }

    /// Decodes a whole block. `allowed` is the largest table its receiver may have agreed to.
    pub(super) fn decode(&mut self, block: &[u8], allowed: usize, fields: &mut Fields) -> Result<(), Unread> {
        let mut input = Input(block);
        self.size_updates(&mut input, allowed)?;
        while let Some(first) = input.peek() {
            match first {
                0x80.. => {
                    let index = input.integer(7).ok_or(Unread::Hpack)?;
                    let (name, value) = self.table.get(index).ok_or(Unread::Hpack)?;
                    fields.push(name, value);
                }
                0x40.. => self.literal(&mut input, 6, true, fields)?,
                // A size update belongs at the beginning (RFC 7541 §4.2).
                0x20.. => return Err(Unread::Hpack),
                _ => self.literal(&mut input, 4, false, fields)?,
            }
        }
        Ok(())
    }

    fn size_updates(&mut self, input: &mut Input<'_>, allowed: usize) -> Result<(), Unread> {
        while let Some(0x20..0x40) = input.peek() {
            let size = input.integer(5).ok_or(Unread::Hpack)?;
            if size > allowed {
                return Err(Unread::HpackTable);
            }
            if size > TABLE_MAX {
                return Err(Unread::HpackTableTooLarge);
            }
            // The lowest of several limits must be seen, unless it would have evicted nothing.
            if self.owed.is_some_and(|owed| size > owed && self.table.size() > owed) {
                return Err(Unread::HpackTable);
            }
            self.owed = None;
            self.table.set_max(size);
        }
        match self.owed {
            Some(owed) if self.table.size() > owed => Err(Unread::HpackTable),
            _ => Ok(()),
        }
    }

    fn literal(
        &mut self,
        input: &mut Input<'_>,
        prefix: u32,
        keep: bool,
        fields: &mut Fields,
    ) -> Result<(), Unread> {
        let start = fields.text.len();
        let name = match input.integer(prefix).ok_or(Unread::Hpack)? {
            0 => {
                input.string(&mut fields.text).ok_or(Unread::Hpack)?;
                None
            }
            index => {
                let name = self.table.name(index).ok_or(Unread::Hpack)?;
                fields.name(&name);
                Some(name)
            }
        };
        let value_start = fields.text.len();
        input.string(&mut fields.text).ok_or(Unread::Hpack)?;
        if keep {
            let name = name.unwrap_or_else(|| Name::Own(Arc::from(&fields.text[start..value_start])));
            self.insert(name, &fields.text[value_start..])?;
        }
        fields.close(start, value_start);
        Ok(())
    }

    /// Without the size update that is owed, receivers differ on the table's maximum: they agree while nothing would
    /// be evicted.
    fn insert(&mut self, name: Name, value: &[u8]) -> Result<(), Unread> {
        if self.owed.is_some_and(|owed| self.table.size_with(&name, value) > owed) {
            return Err(Unread::HpackTable);
        }
        self.table.insert(name, value);
        Ok(())
    }
}
