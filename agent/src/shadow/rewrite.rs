//! What ShadowPolicies change in the head of a copy, in this order: what is redacted goes first, so that no other
//! change can bring it back; then headers are removed, set and added; then the host. All of it after the rule's own
//! changes, and before the marker.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header::HOST};

use super::{head::Unsendable, query};
use crate::route::{Changes, HostChange, Mirror, Original, Policy, Redact};

/// Everything a copy's head differs by from its request's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rewriting<'m> {
    pub(super) changes: Option<&'m Changes>,
    pub(super) policy: Option<&'m Policy>,
    /// Of AgentConfig.
    pub(super) marker: &'m HeaderName,
}

impl<'m> Rewriting<'m> {
    pub(super) fn of(mirror: &'m Mirror, marker: &'m HeaderName) -> Self {
        Self { changes: mirror.changes.as_deref(), policy: mirror.policy().map(|policy| &**policy), marker }
    }

    /// The header that tells a copy from a request.
    pub(super) fn mark(&self) -> (HeaderName, HeaderValue) {
        let written = self.policy.and_then(|policy| policy.marker.as_ref());
        let name = written.and_then(|marker| marker.header.as_ref()).unwrap_or(self.marker);
        let value = written.and_then(|marker| marker.value.clone());
        (name.clone(), value.unwrap_or(HeaderValue::from_static("1")))
    }
}

/// Changes the headers and returns the path and query to send.
pub(super) fn apply(
    policy: &Policy,
    headers: &mut HeaderMap,
    path: Bytes,
    original: Original<'_>,
) -> Result<Bytes, Unsendable> {
    let text = str::from_utf8(&path).map_err(|_| Unsendable)?;
    let mut redacted = None;
    if let Some(redact) = &policy.redact {
        redact_headers(redact, headers)?;
        let replacement = redact.replacement.as_ref().and_then(|value| value.to_str().ok());
        redacted = query::redacted(text, &redact.query, replacement);
    }
    if let Some(changes) = &policy.headers {
        // A value that quotes the path quotes what is left of it.
        changes.apply(headers, Original { path: redacted.as_deref().unwrap_or(text), ..original })?;
    }
    match &policy.host {
        Some(HostChange::Authority(authority)) => drop(headers.try_insert(HOST, authority.clone())?),
        Some(HostChange::Suffix(suffix)) => {
            if let Some(host) = headers.get_mut(HOST)
                && let Some(suffixed) = suffixed(host.as_bytes(), suffix)
            {
                *host = suffixed;
            }
        }
        None => {}
    }
    Ok(redacted.map_or(path, Bytes::from))
}

/// Replaces or removes what is listed; in trailers as in headers.
pub(super) fn redact_headers(redact: &Redact, headers: &mut HeaderMap) -> Result<(), Unsendable> {
    for name in redact.headers.iter().filter(|name| headers.contains_key(*name)).collect::<Vec<_>>() {
        match &redact.replacement {
            Some(value) => drop(headers.try_insert(name, value.clone())?),
            None => drop(headers.remove(name)),
        }
    }
    Ok(())
}

/// `shop:80` → `shop-shadow:80`, `[::1]:80` → `[::1]-shadow:80`, as Envoy does it. None for an empty host.
fn suffixed(host: &[u8], suffix: &str) -> Option<HeaderValue> {
    let literal_end = host.iter().rposition(|&byte| byte == b']').map_or(0, |at| at + 1);
    let port =
        host[literal_end..].iter().position(|&byte| byte == b':').map_or(host.len(), |at| literal_end + at);
    let (name, port) = host.split_at(port);
    if name.is_empty() || suffix.is_empty() {
        return None;
    }
    HeaderValue::from_bytes(&[name, suffix.as_bytes(), port].concat()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suffix_stands_before_the_port() {
        for (host, expected) in [
            ("shop", "shop-shadow"),
            ("shop:80", "shop-shadow:80"),
            ("shop.example.com.:8080", "shop.example.com.-shadow:8080"),
            ("10.0.0.1:80", "10.0.0.1-shadow:80"),
            ("[::1]", "[::1]-shadow"),
            ("[::1]:80", "[::1]-shadow:80"),
        ] {
            assert_eq!(suffixed(host.as_bytes(), "-shadow").unwrap(), expected);
        }
        assert_eq!(suffixed(b"", "-shadow"), None);
        assert_eq!(suffixed(b"shop", ""), None);
    }
}
