//! From the fields of a request to its head (RFC 9113 §8.3.1), as rules and copies know it from HTTP/1: `:authority` is its
//! `host`, and the crumbs of a cookie are one field again (§8.2.3).

use std::str;

use super::{field, hpack::Fields};
use crate::{
    message::{BodyLength, Header, RequestHead, Version},
    wire::{Skipped, values},
};

/// Reads a request's head and tells of it, with the length of its body if it says one.
pub(super) fn read(
    fields: &Fields,
    ends_stream: bool,
    tell: impl FnOnce(&RequestHead<'_>, Option<u64>),
) -> Result<(), Skipped> {
    if let Some(reason) = fields.over() {
        return Err(reason);
    }
    let pseudo = Pseudo::read(fields)?;
    let (method, target) = (pseudo.method()?, pseudo.target()?);
    let authority = pseudo.authority()?;

    let cookie = whole_cookie(fields);
    let mut headers = Vec::with_capacity(fields.len());
    headers.extend(authority.map(|authority| Header { name: "host", value: authority }));
    let mut host = authority;
    let (mut own_host, mut cookie_seen, mut length) = (false, false, None);
    for (name, value) in fields.iter().skip(pseudo.count) {
        let mut header = field::check(name, value)?;
        match header.name {
            "host" => {
                if std::mem::replace(&mut own_host, true) {
                    return Err(Skipped::HostRepeated);
                }
                check_host(value)?;
                match host {
                    Some(authority) if !authority.eq_ignore_ascii_case(value) => {
                        return Err(Skipped::HostMismatch);
                    }
                    Some(_) => continue,
                    None => host = Some(value),
                }
            }
            "cookie" if std::mem::replace(&mut cookie_seen, true) => continue,
            "cookie" => header.value = cookie.as_deref().unwrap_or(value),
            "content-length" => field::set_length(&mut length, value)?,
            _ => {}
        }
        headers.push(header);
    }
    if host.is_none() {
        return Err(Skipped::HostMissing);
    }
    let body = match length {
        Some(1..) if ends_stream => return Err(Skipped::ContentLength),
        _ if ends_stream => BodyLength::None,
        Some(length @ 1..) => BodyLength::Known(length),
        // Of an empty body that ends later there is no telling yet whether trailers come.
        Some(0) | None => BodyLength::Streamed,
    };
    tell(
        &RequestHead { method, target, version: Version::Http2, headers: &headers, body, encrypted: false },
        length,
    );
    Ok(())
}

/// The fields that stand before all others.
#[derive(Debug, Default)]
struct Pseudo<'f> {
    count: usize,
    method: Option<&'f [u8]>,
    scheme: Option<&'f [u8]>,
    authority: Option<&'f [u8]>,
    path: Option<&'f [u8]>,
    protocol: Option<&'f [u8]>,
}

impl<'f> Pseudo<'f> {
    /// One that comes after other fields has a name no field may have.
    fn read(fields: &'f Fields) -> Result<Self, Skipped> {
        let mut pseudo = Self::default();
        for (name, value) in fields.iter().take_while(|(name, _)| name.first() == Some(&b':')) {
            let place = match name {
                b":method" => &mut pseudo.method,
                b":scheme" => &mut pseudo.scheme,
                b":authority" => &mut pseudo.authority,
                b":path" => &mut pseudo.path,
                b":protocol" => &mut pseudo.protocol,
                _ => return Err(Skipped::PseudoHeader),
            };
            if place.replace(value).is_some() {
                return Err(Skipped::PseudoHeader);
            }
            pseudo.count += 1;
        }
        Ok(pseudo)
    }

    fn method(&self) -> Result<&'f str, Skipped> {
        let method = self.method.ok_or(Skipped::PseudoHeader)?;
        if method == b"CONNECT" {
            return Err(Skipped::Connect);
        }
        if self.protocol.is_some() {
            return Err(Skipped::PseudoHeader);
        }
        if method.is_empty() || !method.iter().all(|byte| values::is_token(*byte)) {
            return Err(Skipped::Method);
        }
        str::from_utf8(method).map_err(|_| Skipped::Method)
    }

    fn target(&self) -> Result<&'f str, Skipped> {
        let scheme = self.scheme.ok_or(Skipped::PseudoHeader)?;
        if !scheme.eq_ignore_ascii_case(b"http") && !scheme.eq_ignore_ascii_case(b"https") {
            return Err(Skipped::Scheme);
        }
        let path = self.path.ok_or(Skipped::PseudoHeader)?;
        let is_path = path.first() == Some(&b'/') || (path == b"*" && self.method == Some(b"OPTIONS"));
        let is_path_byte = |byte: &u8| *byte > b' ' && *byte != 0x7f && *byte != b'#';
        if !is_path || !path.iter().all(is_path_byte) {
            return Err(Skipped::Path);
        }
        str::from_utf8(path).map_err(|_| Skipped::Path)
    }

    fn authority(&self) -> Result<Option<&'f [u8]>, Skipped> {
        self.authority.map(|authority| check_host(authority).map(|()| authority)).transpose()
    }
}

/// Without user information (§8.3.1), and not empty where the scheme is http or https.
fn check_host(host: &[u8]) -> Result<(), Skipped> {
    match str::from_utf8(host) {
        Ok(host) if values::is_host_and_port(host) => Ok(()),
        _ => Err(Skipped::HostInvalid),
    }
}

/// The crumbs of a cookie joined, if there are several.
fn whole_cookie(fields: &Fields) -> Option<Vec<u8>> {
    let mut crumbs = fields.iter().filter(|(name, _)| *name == b"cookie").map(|(_, value)| value);
    let (first, second) = (crumbs.next()?, crumbs.next()?);
    let mut whole = first.to_vec();
    for crumb in std::iter::once(second).chain(crumbs) {
        whole.extend_from_slice(b"; ");
        whole.extend_from_slice(crumb);
    }
    Some(whole)
}
