//! A request that is over and that somebody looks at, with one of its copies or with none: what is handed from the threads
//! where it happened to those that show it.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::Line;
use crate::record::{Exchange, ShadowOutcome};

/// What the records take beside the text.
const RECORDS: usize = 1024;

#[derive(Debug)]
pub struct Seen {
    pub primary: Arc<Exchange>,
    pub copy: Option<ShadowOutcome>,
    line: OnceLock<Bytes>,
}

impl Seen {
    pub fn new(primary: Arc<Exchange>, copy: Option<ShadowOutcome>) -> Self {
        Self { primary, copy, line: OnceLock::new() }
    }

    /// Its [`Line`], without a line end. Made by whoever asks first, and once for all of them: not to be asked for on a
    /// thread that carries traffic.
    pub fn line(&self) -> &Bytes {
        let make = || {
            // Nothing in it can fail to be written as JSON.
            Bytes::from(serde_json::to_vec(&Line::new(&self.primary, self.copy.as_ref())).unwrap_or_default())
        };
        self.line.get_or_init(make)
    }

    /// About how many bytes it holds, its line aside.
    pub fn weight(&self) -> usize {
        let why = self.copy.as_ref().and_then(|copy| copy.why.as_ref()).map_or(0, String::len);
        RECORDS + self.primary.text.as_ref().map_or(0, |text| text.len()) + why
    }
}
