//! Whose request is offered, for the records of its copies.

use std::{net::SocketAddr, sync::Arc};

use super::query;
use crate::{
    message::RequestHead,
    record::{Origin, Text, Trace, Workload},
    route::Mirror,
};

/// Who sent a request, and what the records of its copies have in common.
#[derive(Clone, Copy, Debug)]
pub struct Sender<'s> {
    pub address: SocketAddr,
    /// Where the configuration knows it.
    pub workload: Option<&'s Arc<Workload>>,
    pub trace: Option<Trace>,
    /// While somebody looks.
    pub origin: Option<&'s Arc<Origin>>,
}

impl From<SocketAddr> for Sender<'_> {
    /// One of whom nothing else is known.
    fn from(address: SocketAddr) -> Self {
        Self { address, workload: None, trace: None, origin: None }
    }
}

/// The words of a request as a person may see them: without what a policy of any of its rule's mirrors redacts.
pub fn text(head: &RequestHead<'_>, mirrors: &[Arc<Mirror>]) -> Text {
    let sent = head.path_and_query();
    let mut redacted: Option<String> = None;
    for redact in mirrors.iter().filter_map(|mirror| mirror.policy()?.redact.as_ref()) {
        let replacement = redact.replacement.as_ref().and_then(|value| value.to_str().ok());
        let path = redacted.as_deref().unwrap_or(sent);
        redacted = query::redacted(path, &redact.query, replacement).or(redacted);
    }
    Text::new(head.method, redacted.as_deref().unwrap_or(sent), head.authority().unwrap_or(""))
}
