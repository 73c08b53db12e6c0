//! The fields of one header block, decoded: bounded, for a few bytes on the wire may stand for very many.

use super::table::Name;
use crate::wire::Skipped;

/// The longest head, names and values together.
pub(in crate::wire::http2) const HEAD_MAX: usize = 64 * 1024;
/// The most fields of a head. More than on HTTP/1, where a cookie is one field and not one for each crumb.
pub(in crate::wire::http2) const HEADERS_MAX: usize = 256;

/// Names and values in their order. Beyond a bound no more of them are kept.
#[derive(Debug, Default)]
pub(in crate::wire::http2) struct Fields {
    pub(super) text: Vec<u8>,
    /// Where each name and each value ends in the text.
    ends: Vec<(usize, usize)>,
    over: Option<Skipped>,
}

impl Fields {
    /// For a block of this many bytes.
    pub(in crate::wire::http2) fn for_block(bytes: usize) -> Self {
        Self { text: Vec::with_capacity(bytes.clamp(64, 1024) * 4), ends: Vec::with_capacity(32), over: None }
    }

    /// Without any field, but over the bound if these are.
    pub(in crate::wire::http2) fn none_of_it(&self) -> Self {
        Self { over: self.over, ..Self::for_block(self.text.len()) }
    }

    /// The bound that was exceeded, if one was.
    pub(in crate::wire::http2) fn over(&self) -> Option<Skipped> {
        self.over
    }

    pub(in crate::wire::http2) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(in crate::wire::http2) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut start = 0;
        self.ends.iter().map(move |&(name_end, end)| {
            let field = (&self.text[start..name_end], &self.text[name_end..end]);
            start = end;
            field
        })
    }

    /// A field that is known whole.
    pub(in crate::wire::http2) fn push(&mut self, name: &[u8], value: &[u8]) {
        if self.has_room(name.len() + value.len()) {
            let start = self.text.len();
            self.text.extend_from_slice(name);
            self.text.extend_from_slice(value);
            self.close(start, start + name.len());
        }
    }

    /// Begins a field by its name, unless that is too long to be kept.
    pub(super) fn name(&mut self, name: &Name) {
        if self.has_room(name.as_bytes().len()) {
            self.text.extend_from_slice(name.as_bytes());
        }
    }

    /// The text has grown by a field that begins at `start`, with its value at `value`; keeps or forgets it.
    pub(super) fn close(&mut self, start: usize, value: usize) {
        if self.has_room(0) && self.ends.len() == HEADERS_MAX {
            self.over = Some(Skipped::TooManyHeaders);
        }
        match self.over {
            None => self.ends.push((value, self.text.len())),
            Some(_) => self.text.truncate(start),
        }
    }

    fn has_room(&mut self, bytes: usize) -> bool {
        if self.over.is_none() && self.text.len() + bytes > HEAD_MAX {
            self.over = Some(Skipped::HeadTooLong);
        }
        self.over.is_none()
    }
}
