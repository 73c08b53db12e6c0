//! What a rule changes in the head of a request before it goes on: Istio's `headers` and `rewrite`, in the order in
//! which Envoy's router carries them out. Whoever sends a copy applies them; the primary's bytes are never touched.

mod path;
mod template;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{HOST, MaxSizeReached},
};

pub use path::{Matched, PathChange};
pub use template::{Template, TemplateFault};

/// The changes of one rule for one of its destinations.
#[derive(Debug, Default, PartialEq)]
pub struct Changes {
    pub path: Option<PathChange>,
    /// Replaces `Host`; no format string.
    pub authority: Option<HeaderValue>,
    /// Carried out one after the other, each reading what the one before it left.
    pub headers: Vec<HeaderChanges>,
}

/// One of Envoy's header parsers: what it removes goes first, then all values are worked out, then it sets, then it
/// adds. Names are never `host`, pseudo headers or framing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeaderChanges {
    pub remove: Vec<HeaderName>,
    pub set: Vec<(HeaderName, Template)>,
    pub add: Vec<(HeaderName, Template)>,
}

/// The request that format strings speak of.
#[derive(Clone, Copy, Debug)]
pub struct Original<'a> {
    pub method: &'a str,
    /// Path and query.
    pub path: &'a str,
    pub client: SocketAddr,
}

impl Changes {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Changes the headers and returns the new path and query, if there is one. Envoy would add
    /// `x-envoy-original-path` then; like its other headers of that name this one is not imitated.
    ///
    /// # Errors
    /// When the headers become more than a map can hold.
    pub fn apply(
        &self,
        headers: &mut HeaderMap,
        original: Original<'_>,
    ) -> Result<Option<String>, MaxSizeReached> {
        for changes in &self.headers {
            changes.apply(headers, original)?;
        }
        // The host comes after the headers, so their values still name the one the client asked for.
        if let Some(authority) = &self.authority {
            headers.try_insert(HOST, authority.clone())?;
        }
        Ok(self.path.as_ref().map(|change| change.apply(original.path)))
    }
}

impl HeaderChanges {
    /// # Errors
    /// When the headers become more than a map can hold.
    pub fn apply(&self, headers: &mut HeaderMap, original: Original<'_>) -> Result<(), MaxSizeReached> {
        for name in &self.remove {
            headers.remove(name);
        }
        // Nothing is set for an empty value (Envoy's `keep_empty_value`, which Istio leaves off).
        let worked_out = |list: &[(HeaderName, Template)]| -> Vec<(HeaderName, HeaderValue)> {
            let values = list.iter().map(|(name, value)| (name.clone(), value.fill(headers, original)));
            values.filter_map(|(name, value)| Some((name, value?))).collect()
        };
        let (set, add) = (worked_out(&self.set), worked_out(&self.add));
        for (name, value) in set {
            headers.try_insert(name, value)?;
        }
        for (name, value) in add {
            headers.try_append(name, value)?;
        }
        Ok(())
    }
}
