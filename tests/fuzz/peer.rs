//! A strict HTTP/1 server as a second opinion: what hyper, given the same bytes, takes for requests.

use std::{
    cell::RefCell,
    convert::Infallible,
    io,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, Uri};
use http_body_util::{BodyExt as _, Empty};
use hyper::{
    body::Incoming,
    rt::{Read, ReadBufCursor, Write},
    server::conn::http1,
    service::service_fn,
};

/// A request that came whole.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) uri: Uri,
    pub(crate) version: http::Version,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// Every whole request, in order, up to the first that it refuses.
pub(crate) fn asked(bytes: &[u8]) -> Vec<Asked> {
    let asked = Rc::<RefCell<Vec<Asked>>>::default();
    let keep = |request: Request<Incoming>| {
        let asked = Rc::clone(&asked);
        async move {
            let (head, body) = request.into_parts();
            if let Ok(body) = body.collect().await {
                asked.borrow_mut().push(Asked {
                    method: head.method.to_string(),
                    uri: head.uri,
                    version: head.version,
                    headers: head.headers,
                    body: body.to_bytes().to_vec(),
                });
            }
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }
    };
    let connection = http1::Builder::new().half_close(true).serve_connection(Wire(bytes), service_fn(keep));
    let mut connection = pin!(connection);
    let mut context = Context::from_waker(Waker::noop());
    // Its bytes are always there, so each poll gets on until it gives way to other tasks.
    let _ended = (0..=bytes.len()).any(|_| connection.as_mut().poll(&mut context).is_ready());
    asked.take()
}

/// Brings these bytes and then ends; takes any answer.
struct Wire<'b>(&'b [u8]);

impl Read for Wire<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut room: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let (now, later) = self.0.split_at(room.remaining().min(self.0.len()));
        room.put_slice(now);
        self.0 = later;
        Poll::Ready(Ok(()))
    }
}

impl Write for Wire<'_> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
