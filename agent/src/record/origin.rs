//! A request that somebody looks at, apart from all the others: its words, and its copies beside the primary, which end in
//! any order. Nothing of this is made while nobody looks.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU16, Ordering::Relaxed},
};

use super::{Exchange, Observer, ShadowOutcome};

/// More of a path than this is of no use to a reader.
const PATH: usize = 2048;
/// The longest name of the DNS.
const HOST: usize = 255;

/// What a request said, for a person to read.
#[derive(Debug)]
pub struct Text {
    /// Method, path and host without anything between them.
    all: Box<str>,
    path: usize,
    host: usize,
}

/// Shared by the connection that carries a request and by its copies.
#[derive(Debug)]
pub struct Origin {
    pub text: Arc<Text>,
    copies: AtomicU16,
    // Locked for one push or one take, by the data thread and by shadow workers.
    ends: Mutex<Ends>,
}

#[derive(Debug, Default)]
struct Ends {
    primary: Option<Arc<Exchange>>,
    /// Copies that ended before it; no more than the rule has mirrors.
    copies: Vec<ShadowOutcome>,
}

impl Text {
    /// The path is as it may be shown: with what policies redact taken out.
    pub fn new(method: &str, path: &str, host: &str) -> Self {
        let (path, host) = (beginning(path, PATH), beginning(host, HOST));
        let all = [method, path, host].concat().into_boxed_str();
        Self { all, path: method.len(), host: method.len() + path.len() }
    }

    pub fn method(&self) -> &str {
        &self.all[..self.path]
    }

    /// With its query; cut off where it is longer than 2 KiB.
    pub fn path(&self) -> &str {
        &self.all[self.path..self.host]
    }

    /// Bytes of all three.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Empty where the request named none.
    pub fn host(&self) -> &str {
        &self.all[self.host..]
    }
}

fn beginning(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

impl Origin {
    pub fn new(text: Text) -> Arc<Self> {
        Arc::new(Self { text: Arc::new(text), copies: AtomicU16::new(0), ends: Mutex::default() })
    }

    /// One more copy will end, in whatever way.
    pub fn add_copy(&self) {
        self.copies.fetch_add(1, Relaxed);
    }

    pub fn copies(&self) -> u16 {
        self.copies.load(Relaxed)
    }

    /// The primary has ended: tells of it with each copy that ended before.
    pub fn primary_ended(&self, primary: &Exchange, observer: &dyn Observer) {
        let primary = Arc::new(primary.clone());
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        ends.primary = Some(Arc::clone(&primary));
        let copies = std::mem::take(&mut ends.copies);
        drop(ends);
        copies.into_iter().for_each(|copy| observer.pair(&primary, copy));
    }

    /// A copy has ended: tells of it if the primary has.
    pub fn copy_ended(&self, copy: ShadowOutcome, observer: &dyn Observer) {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(primary) = ends.primary.clone() else { return ends.copies.push(copy) };
        drop(ends);
        observer.pair(&primary, copy);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        let text = Text::new("GET", &"/é".repeat(1000), "a.test");
        assert_eq!((text.method(), text.host()), ("GET", "a.test"));
        assert_eq!(text.path().len(), 2047);
        assert!(text.path().ends_with('/'), "half a character is none");
        assert_eq!(Text::new("", "", "").path(), "");
    }
}
