//! The fields after the last chunk (RFC 9110 §6.5). Refuses those that would frame or route a message, for some
//! servers merge trailers into the head.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::{HEADERS_MAX, Unread, head};

const FORBIDDEN: [HeaderName; 5] =
    [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::HOST, header::CONNECTION, header::UPGRADE];

/// Parses a trailer section with its empty line; None when it has no field.
pub(super) fn read(section: &[u8]) -> Result<Option<HeaderMap>, Unread> {
    if section.is_empty() || section == b"\r\n" {
        return Ok(None);
    }
    let mut storage = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let fields = match httparse::parse_headers(section, &mut storage) {
        Ok(httparse::Status::Complete((_, fields))) => fields,
        Ok(httparse::Status::Partial) => return Err(Unread::HeaderName),
        Err(error) => return Err(head::doubt(section, error, Unread::HeaderName)),
    };
    let mut trailers = HeaderMap::with_capacity(fields.len());
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Unread::HeaderName)?;
        if FORBIDDEN.contains(&name) {
            return Err(Unread::TrailerField);
        }
        trailers.append(name, HeaderValue::from_bytes(field.value).map_err(|_| Unread::HeaderValue)?);
    }
    Ok(Some(trailers))
}
