//! The fields after a body (RFC 9113 §8.1). Refuses those that would frame or route a message, for some servers merge
//! trailers into the head.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{field, hpack::Fields};
use crate::wire::Skipped;

/// None when there is no field.
pub(super) fn read(fields: &Fields) -> Result<Option<HeaderMap>, Skipped> {
    if let Some(reason) = fields.over() {
        return Err(reason);
    }
    let mut trailers = HeaderMap::with_capacity(fields.len());
    for (name, value) in fields.iter() {
        let header = field::check(name, value)?;
        if ["content-length", "host"].contains(&header.name) {
            return Err(Skipped::TrailerField);
        }
        let name = HeaderName::from_bytes(name).map_err(|_| Skipped::HeaderName)?;
        trailers.append(name, HeaderValue::from_bytes(value).map_err(|_| Skipped::HeaderValue)?);
    }
    Ok((!trailers.is_empty()).then_some(trailers))
}
