//! Which resource a request names (RFC 9112 §3.2): its target and its `Host` must leave one reading, or a rule would
//! be chosen for another host than the one the app serves.

use super::Unread;
use crate::{
    message::{RequestHead, Version},
    wire::values::is_host_and_port,
};

/// Checks the form of the target, the `Host`, and that the two agree.
pub(super) fn check(head: &RequestHead<'_>) -> Result<(), Unread> {
    let host = host(head)?;
    if head.target.contains('#') {
        return Err(Unread::Fragment);
    }
    match head.method {
        "CONNECT" if is_host_and_port(head.target) => Ok(()),
        "CONNECT" => Err(Unread::Target),
        _ if head.target.starts_with('/') => Ok(()),
        "OPTIONS" if head.target == "*" => Ok(()),
        _ => {
            let authority = absolute_authority(head.target)?;
            match host {
                Some(host) if !host.eq_ignore_ascii_case(authority) => Err(Unread::HostMismatch),
                _ => Ok(()),
            }
        }
    }
}

/// The one `Host`. It may be empty (RFC 9110 §7.2), and missing before HTTP/1.1.
fn host<'a>(head: &RequestHead<'a>) -> Result<Option<&'a str>, Unread> {
    let mut hosts = head.headers.iter().filter(|header| header.name.eq_ignore_ascii_case("host"));
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => std::str::from_utf8(host.value).map_err(|_| Unread::HostInvalid)?,
        (Some(_), Some(_)) => return Err(Unread::HostRepeated),
        (None, _) if head.version == Version::Http10 => return Ok(None),
        (None, _) => return Err(Unread::HostMissing),
    };
    if host.is_empty() || is_host_and_port(host) { Ok(Some(host)) } else { Err(Unread::HostInvalid) }
}

fn absolute_authority(target: &str) -> Result<&str, Unread> {
    let (scheme, rest) = target.split_once("://").ok_or(Unread::Target)?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err(Unread::Target);
    }
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    if authority.contains('@') {
        Err(Unread::Userinfo)
    } else if is_host_and_port(authority) {
        Ok(authority)
    } else {
        Err(Unread::Target)
    }
}
