//! The head of a copy: packed into one piece of memory on the data thread, made into a request on a shadow worker.
//!
//! The copy says what the primary said, but for what belongs to the primary's connection (RFC 9110 §7.6.1) or to
//! its framing, for what its rule and its policies change, and for its mark. Header names are written in lower case, and
//! lines of the same name stand together.

use std::net::SocketAddr;

use bytes::{BufMut, Bytes, BytesMut};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Uri,
    header::{CONTENT_LENGTH, HOST, MaxSizeReached, TE, TRANSFER_ENCODING},
    uri::{Authority, Parts, PathAndQuery, Scheme},
};

use super::{
    rewrite::{self, Rewriting},
    trace,
};
use crate::{
    message::{BodyLength, RequestHead, Version},
    route::{Original, Security, Settings},
};

/// A request's head that owns itself: method, path, the authority of an absolute target, then names and values in
/// turn, each preceded by its length.
#[derive(Debug)]
pub(super) struct PackedHead {
    text: Bytes,
    version: Version,
    body: BodyLength,
    client: SocketAddr,
}

/// The head holds something no HTTP client may send.
#[derive(Debug, thiserror::Error)]
#[error("the head cannot be sent as it stands")]
pub(super) struct Unsendable;

const LENGTH: usize = size_of::<usize>();

/// Fields that belong to the primary's connection, besides those its `Connection` field lists. `Expect` is among
/// them because the primary's 100 (Continue) is not the shadow's: a copy's body never waits.
const OF_THE_CONNECTION: [&str; 6] =
    ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "expect"];

impl PackedHead {
    /// What is changed is changed on the shadow's side, as everything that costs time.
    pub(super) fn pack(head: &RequestHead<'_>, client: SocketAddr) -> Self {
        let mut text = BytesMut::with_capacity(Self::size(head));
        for part in parts(head) {
            text.put_slice(&part.len().to_ne_bytes());
            text.put_slice(part);
        }
        Self { text: text.freeze(), version: head.version, body: head.body, client }
    }

    /// The bytes that packing this head takes.
    pub(super) fn size(head: &RequestHead<'_>) -> usize {
        parts(head).map(|part| LENGTH + part.len()).sum()
    }

    /// No body follows: the request was whole with its head.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self.body, BodyLength::None | BodyLength::Known(0))
    }

    /// In the version of HTTP that `settings` ask for; then `Host` is the target's authority. Values share the packed
    /// memory.
    pub(super) fn to_request<B>(
        &self,
        rewriting: Rewriting<'_>,
        settings: &Settings,
        body: B,
    ) -> Result<Request<B>, Unsendable> {
        let version = settings.protocol.for_copy_of(self.version);
        let mut text = &*self.text;
        let method = Method::from_bytes(pull(&mut text)).map_err(|_| Unsendable)?;
        let (path, authority) = (pull(&mut text), pull(&mut text));
        let mut path = self.text.slice_ref(path);
        let mut headers = self.headers(Fields(text), authority, version)?;
        if let Some(changes) = rewriting.changes {
            let sent = str::from_utf8(&path).map_err(|_| Unsendable)?;
            let original = Original { method: method.as_str(), path: sent, client: self.client };
            if let Some(changed) = changes.apply(&mut headers, original)? {
                path = changed.into();
            }
        }
        trace::apply(rewriting.policy.and_then(|policy| policy.trace).unwrap_or_default(), &mut headers);
        if let Some(policy) = rewriting.policy {
            let original = Original { method: method.as_str(), path: "", client: self.client };
            path = rewrite::apply(policy, &mut headers, path, original)?;
        }
        // Last, so that nothing can take it off.
        let (name, value) = rewriting.mark();
        headers.try_insert(name, value)?;

        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.version_mut() = version;
        *request.uri_mut() = match version {
            http::Version::HTTP_2 => absolute(path, headers.remove(HOST), &settings.security)?,
            _ => Uri::from(target(path)?),
        };
        *request.headers_mut() = headers;
        Ok(request)
    }

    fn headers(
        &self,
        fields: Fields<'_>,
        authority: &[u8],
        version: http::Version,
    ) -> Result<HeaderMap, Unsendable> {
        let shared = |part| value(self.text.slice_ref(part));
        let listed: Vec<_> =
            fields.clone().filter(|(name, _)| is(name, "connection")).map(|(_, value)| value).collect();
        let mut headers = HeaderMap::with_capacity(fields.clone().count() + 2);
        if !fields.clone().any(|(name, _)| is(name, "host")) {
            // HTTP/1.0 may lack Host, HTTP/1.1 must not: without an authority it is empty (RFC 9112 §3.2).
            headers.try_insert(HOST, shared(authority)?)?;
        }
        for (name, text) in fields {
            if is(name, "content-length") || is(name, "transfer-encoding") {
                self.frame(&mut headers, name, text, version)?;
            } else if is(name, "host") {
                headers.try_append(HOST, shared(if authority.is_empty() { text } else { authority })?)?;
            } else if is(name, "te") {
                // Of one hop, but HTTP/2 lists it among the fields of the message (RFC 9113 §8.2.2): it means nothing on
                // HTTP/1.1, and gRPC servers insist on it on HTTP/2.
                let stays = self.version != Version::Http2 || version == http::Version::HTTP_2;
                if stays && tokens(text).any(|coding| is(coding, "trailers")) {
                    headers.try_insert(TE, HeaderValue::from_static("trailers"))?;
                }
            } else if !OF_THE_CONNECTION.iter().any(|it| is(name, it))
                && !listed.iter().flat_map(|it| tokens(it)).any(|it| it.eq_ignore_ascii_case(name))
            {
                headers.try_append(HeaderName::from_bytes(name).map_err(|_| Unsendable)?, shared(text)?)?;
            }
        }
        if !headers.contains_key(CONTENT_LENGTH) && !headers.contains_key(TRANSFER_ENCODING) {
            self.frame(&mut headers, b"", b"", version)?;
        }
        Ok(headers)
    }

    /// Puts the framing of the copy where the primary's was. Without a body, `Content-Length: 0` stays if it was
    /// there and nothing is added: both mean the same (RFC 9112 §6.3).
    fn frame(
        &self,
        headers: &mut HeaderMap,
        name: &[u8],
        text: &[u8],
        version: http::Version,
    ) -> Result<(), Unsendable> {
        match self.body {
            BodyLength::Known(length) => headers.try_insert(CONTENT_LENGTH, HeaderValue::from(length))?,
            BodyLength::Streamed if version == http::Version::HTTP_2 => None,
            // Said outright: hyper would take a GET of unknown length for one without a body.
            BodyLength::Streamed => {
                headers.try_insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"))?
            }
            BodyLength::None if is(name, "content-length") => {
                headers.try_insert(CONTENT_LENGTH, HeaderValue::from_bytes(text).map_err(|_| Unsendable)?)?
            }
            BodyLength::None => None,
        };
        Ok(())
    }
}

impl From<MaxSizeReached> for Unsendable {
    fn from(_: MaxSizeReached) -> Self {
        Self
    }
}

/// What of a head is packed, in order.
fn parts<'h>(head: &RequestHead<'h>) -> impl Iterator<Item = &'h [u8]> {
    let path = head.path_and_query();
    // An absolute target overrules Host (RFC 9112 §3.2.2), and Host carries no user information (§3.2).
    let authority = match head.authority() {
        Some(authority) if path.len() != head.target.len() => {
            authority.rsplit_once('@').map_or(authority, |(_, host)| host)
        }
        _ => "",
    };
    let fields = head.headers.iter().flat_map(|field| [field.name.as_bytes(), field.value]);
    [head.method, path, authority].map(str::as_bytes).into_iter().chain(fields)
}

/// Name and value of each field.
#[derive(Clone)]
struct Fields<'t>(&'t [u8]);

impl<'t> Iterator for Fields<'t> {
    type Item = (&'t [u8], &'t [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        (!self.0.is_empty()).then(|| (pull(&mut self.0), pull(&mut self.0)))
    }
}

/// Takes one part off the front; the inverse of what `pack` puts there.
fn pull<'t>(text: &mut &'t [u8]) -> &'t [u8] {
    let Some((length, rest)) = text.split_first_chunk::<LENGTH>() else { return &[] };
    let (part, rest) = rest.split_at(usize::from_ne_bytes(*length).min(rest.len()));
    *text = rest;
    part
}

/// The path exactly as it was sent: http would cut off a fragment, which no request target may have.
fn target(path: Bytes) -> Result<PathAndQuery, Unsendable> {
    let sent = path.len();
    let path = PathAndQuery::from_maybe_shared(path).map_err(|_| Unsendable)?;
    if path.as_str().len() < sent {
        return Err(Unsendable);
    }
    Ok(path)
}

/// The target as HTTP/2 names it: `:scheme`, `:authority` and `:path` (RFC 9113 §8.3.1). Without a host there is no
/// authority.
fn absolute(path: Bytes, host: Option<HeaderValue>, security: &Security) -> Result<Uri, Unsendable> {
    let mut parts = Parts::default();
    parts.path_and_query = Some(target(path)?);
    if let Some(host) = host.filter(|host| !host.is_empty()) {
        parts.scheme = Some(match security {
            Security::Plain => Scheme::HTTP,
            Security::Tls(_) | Security::Impossible(_) => Scheme::HTTPS,
        });
        parts.authority = Some(Authority::try_from(host.as_bytes()).map_err(|_| Unsendable)?);
    }
    Uri::from_parts(parts).map_err(|_| Unsendable)
}

fn value(text: Bytes) -> Result<HeaderValue, Unsendable> {
    HeaderValue::from_maybe_shared(text).map_err(|_| Unsendable)
}

fn is(name: &[u8], lower: &str) -> bool {
    name.eq_ignore_ascii_case(lower.as_bytes())
}

/// The members of a comma-separated list.
fn tokens(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|&byte| byte == b',').map(<[u8]>::trim_ascii)
}
