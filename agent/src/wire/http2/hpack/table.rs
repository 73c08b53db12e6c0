//! The two tables of HPACK (RFC 7541 §2.3): the static one, and the dynamic one of one direction.

use std::{collections::VecDeque, sync::Arc};

/// What an entry takes besides its name and value (RFC 7541 §4.1).
const ENTRY_OVERHEAD: usize = 32;
/// The dynamic table's size until its peer says otherwise (RFC 9113 §6.5.2).
pub(super) const DEFAULT_SIZE: usize = 4096;

/// The name of a field, shared by the entries that refer to it: to refer costs nothing, however long it is.
#[derive(Clone, Debug)]
pub(super) enum Name {
    Static(&'static str),
    Own(Arc<[u8]>),
}

impl Name {
    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Static(name) => name.as_bytes(),
            Self::Own(name) => name,
        }
    }
}

#[derive(Debug)]
struct Entry {
    name: Name,
    value: Box<[u8]>,
}

impl Entry {
    fn size(&self) -> usize {
        self.name.as_bytes().len() + self.value.len() + ENTRY_OVERHEAD
    }
}

/// The newest entry is the first. An entry of size 32, the smallest, holds up to 100 bytes of memory.
#[derive(Debug)]
pub(super) struct Table {
    entries: VecDeque<Entry>,
    size: usize,
    max: usize,
}

impl Default for Table {
    fn default() -> Self {
        Self { entries: VecDeque::new(), size: 0, max: DEFAULT_SIZE }
    }
}

impl Table {
    /// As RFC 7541 §4.1 counts.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    pub(super) fn max(&self) -> usize {
        self.max
    }

    pub(super) fn set_max(&mut self, max: usize) {
        self.max = max;
        self.evict(max);
    }

    /// Of an index in both tables (RFC 7541 §2.3.3).
    pub(super) fn get(&self, index: usize) -> Option<(&[u8], &[u8])> {
        if let Some((name, value)) = STATIC.get(index.checked_sub(1)?) {
            return Some((name.as_bytes(), value.as_bytes()));
        }
        let entry = self.entries.get(index - STATIC.len() - 1)?;
        Some((entry.name.as_bytes(), &entry.value))
    }

    pub(super) fn name(&self, index: usize) -> Option<Name> {
        if let Some((name, _)) = STATIC.get(index.checked_sub(1)?) {
            return Some(Name::Static(name));
        }
        Some(self.entries.get(index - STATIC.len() - 1)?.name.clone())
    }

    /// The table's size after this insertion, if it were as large as anyone likes.
    pub(super) fn size_with(&self, name: &Name, value: &[u8]) -> usize {
        self.size + name.as_bytes().len() + value.len() + ENTRY_OVERHEAD
    }

    /// An entry that is too large empties the table (RFC 7541 §4.4).
    pub(super) fn insert(&mut self, name: Name, value: &[u8]) {
        let size = name.as_bytes().len() + value.len() + ENTRY_OVERHEAD;
        match self.max.checked_sub(size) {
            Some(room) => {
                self.evict(room);
                self.entries.push_front(Entry { name, value: value.into() });
                self.size += size;
            }
            None => self.evict(0),
        }
    }

    fn evict(&mut self, room: usize) {
        while self.size > room
            && let Some(oldest) = self.entries.pop_back()
        {
            self.size -= oldest.size();
        }
        if self.entries.is_empty() {
            self.entries = VecDeque::new();
        }
    }
}

/// RFC 7541 Appendix A.
const STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];
