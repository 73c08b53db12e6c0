//! The HTTP/1 reader beside hyper's server: what the reader takes for a request, hyper takes for the same request.

use std::mem;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use umbra::{
    message::{RequestHead, ResponseHead, Slice, Version},
    wire::{Cut, ExchangeId, Protocol, Reader, Sink, Skipped, Unread},
};

use super::http1;
use crate::{
    Target,
    peer::{Asked, asked},
};

/// The bytes of a client.
pub(crate) const TARGET: Target =
    Target { name: "strict", run: agree, max_len: 4096, words: http1::words, seeds };

fn seeds() -> Vec<Vec<u8>> {
    let requests = [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /b?c HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.0\r\n\r\n",
        "PUT http://a/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nA: b\r\n\r\n\
         GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    ];
    requests.map(Into::into).to_vec()
}

/// Panics when the two take these bytes for different requests.
pub(crate) fn agree(bytes: &[u8]) {
    let (mut reader, mut ours) = (Reader::new(), Whole::default());
    reader.request(&Bytes::copy_from_slice(bytes), &mut ours);
    if reader.protocol() != Some(Protocol::Http1) {
        return;
    }
    let theirs = asked(bytes);
    for (at, own) in ours.whole.iter().enumerate() {
        match own {
            Some(own) => assert_eq!(Some(own), theirs.get(at), "request {at}"),
            // RFC 9112 §3.2 leaves more targets to a server than hyper accepts; there it stops.
            None => return assert_eq!(theirs.len(), at, "{:?}", theirs.get(at)),
        }
    }
}

/// Whole requests; None for one whose target or header the `http` crate refuses.
#[derive(Default)]
struct Whole {
    whole: Vec<Option<Asked>>,
    head: Option<Asked>,
    body: Vec<u8>,
}

impl Sink for Whole {
    fn request_head(&mut self, _: ExchangeId, head: &RequestHead<'_>) {
        let headers = head.headers.iter().map(|header| {
            Some((HeaderName::try_from(header.name).ok()?, HeaderValue::from_bytes(header.value).ok()?))
        });
        let mut kept = HeaderMap::new();
        let all =
            headers.into_iter().all(|header| header.map(|(name, value)| kept.append(name, value)).is_some());
        let version = match head.version {
            Version::Http10 => http::Version::HTTP_10,
            Version::Http11 => http::Version::HTTP_11,
            Version::Http2 => http::Version::HTTP_2,
        };
        self.head = head.target.parse::<Uri>().ok().filter(|_| all).map(|uri| Asked {
            method: head.method.to_owned(),
            uri,
            version,
            headers: kept,
            body: Vec::new(),
        });
    }

    fn request_data(&mut self, _: ExchangeId, data: Slice<'_>) {
        self.body.extend_from_slice(data.as_bytes());
    }

    fn request_end(&mut self, _: ExchangeId, _: Option<HeaderMap>, _: u64) {
        let body = mem::take(&mut self.body);
        self.whole.push(self.head.take().map(|head| Asked { body, ..head }));
    }

    fn response_head(&mut self, _: ExchangeId, _: &ResponseHead<'_>) {}
    fn response_end(&mut self, _: ExchangeId, _: Option<HeaderMap>, _: u64) {}
    fn exchange_cut(&mut self, _: ExchangeId, _: Cut) {}
    fn skipped(&mut self, _: Skipped) {}
    fn unread(&mut self, _: Unread) {}
}
