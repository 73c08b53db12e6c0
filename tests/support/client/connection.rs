//! A bare connection: the test writes the bytes.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use http::{HeaderMap, HeaderName, HeaderValue};
use socket2::SockRef;

use super::Reply;
use crate::{Netns, patience};

/// The client's end of a TCP connection, with what was read and not yet asked for.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Connection {
    /// Connects from inside the namespace. Each write leaves at once; a read fails after [`patience`].
    pub fn open(netns: &Netns, to: SocketAddr) -> Self {
        let stream = netns.connect(to).unwrap_or_else(|error| panic!("connect to {to}: {error}"));
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(patience())).unwrap();
        Self { stream, unread: Vec::new() }
    }

    /// The client's address as it sees it.
    pub fn local_address(&self) -> SocketAddr {
        self.stream.local_addr().unwrap()
    }

    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.stream.write_all(bytes.as_ref()).unwrap();
        self
    }

    /// Sends in pieces of 1 to `longest` bytes, the same ones for the same seed.
    pub fn send_in_pieces(&mut self, bytes: impl AsRef<[u8]>, longest: usize, seed: u64) -> &mut Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut rest = bytes.as_ref();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(random.usize(1..=longest).min(rest.len()));
            self.stream.write_all(piece).unwrap();
            rest = after;
        }
        self
    }

    /// Half-closes: the server reads the end, its answer can still come.
    pub fn finish(&mut self) -> &mut Self {
        self.stream.shutdown(Shutdown::Write).unwrap();
        self
    }

    /// Ends the connection with RST.
    pub fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Everything up to the server's end of the connection; its RST is an error.
    pub fn read_to_end(&mut self) -> std::io::Result<Vec<u8>> {
        let mut bytes = std::mem::take(&mut self.unread);
        self.stream.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Exactly this many bytes.
    pub fn read(&mut self, count: usize) -> Vec<u8> {
        self.fill(count);
        self.unread.drain(..count).collect()
    }

    /// The next response with a body.
    pub fn reply(&mut self) -> Reply {
        self.next_reply(true)
    }

    /// The next response to HEAD.
    pub fn reply_to_head(&mut self) -> Reply {
        self.next_reply(false)
    }

    fn next_reply(&mut self, has_body: bool) -> Reply {
        let started = Instant::now();
        let head_length = loop {
            if let Some(end) = find(&self.unread, b"\r\n\r\n") {
                break end + 4;
            }
            self.fill(self.unread.len() + 1);
        };
        let head: Vec<u8> = self.unread.drain(..head_length).collect();
        let (status, headers) = parse_head(&head);
        let bodiless = !has_body || status < 200 || status == 204 || status == 304;
        let body = if bodiless { Vec::new() } else { self.read_body(&headers) };
        Reply { status, headers, body: body.into(), took: started.elapsed() }
    }

    fn read_body(&mut self, headers: &HeaderMap) -> Vec<u8> {
        if headers.contains_key("transfer-encoding") {
            return self.read_chunks();
        }
        match headers.get("content-length") {
            Some(length) => self.read(length.to_str().unwrap().parse().unwrap()),
            None => self.read_to_end().unwrap(),
        }
    }

    fn read_chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let line = self.read_line();
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).unwrap_or_else(|_| panic!("bad chunk size {line:?}"));
            if size == 0 {
                // Trailers are read over.
                while !self.read_line().is_empty() {}
                return body;
            }
            body.extend(self.read(size));
            assert_eq!(self.read_line(), "", "a chunk ends with CRLF");
        }
    }

    fn read_line(&mut self) -> String {
        loop {
            if let Some(end) = find(&self.unread, b"\r\n") {
                let line: Vec<u8> = self.unread.drain(..end + 2).collect();
                return String::from_utf8_lossy(&line[..end]).into_owned();
            }
            self.fill(self.unread.len() + 1);
        }
    }

    /// Reads until this many bytes are there.
    fn fill(&mut self, count: usize) {
        let mut buffer = [0; 16 * 1024];
        while self.unread.len() < count {
            let read =
                self.stream.read(&mut buffer).unwrap_or_else(|error| panic!("{}: {error}", self.evidence()));
            assert!(read > 0, "{}: the connection ended", self.evidence());
            self.unread.extend_from_slice(&buffer[..read]);
        }
    }

    fn evidence(&self) -> String {
        let unread = String::from_utf8_lossy(&self.unread).chars().take(300).collect::<String>();
        format!("waiting for a response, with {unread:?} read so far")
    }
}

/// A body in chunked framing, one chunk per piece, without trailers.
pub fn chunked<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut framed = Vec::new();
    for piece in pieces.into_iter().filter(|piece| !piece.is_empty()) {
        framed.extend(format!("{:x}\r\n", piece.len()).bytes());
        framed.extend(piece);
        framed.extend(b"\r\n");
    }
    framed.extend(b"0\r\n\r\n");
    framed
}

fn parse_head(head: &[u8]) -> (u16, HeaderMap) {
    let mut headers = [httparse::EMPTY_HEADER; 100];
    let mut response = httparse::Response::new(&mut headers);
    response.parse(head).unwrap_or_else(|error| panic!("{error}: {:?}", String::from_utf8_lossy(head)));
    let pairs = response.headers.iter().map(|header| {
        (header.name.parse::<HeaderName>().unwrap(), HeaderValue::from_bytes(header.value).unwrap())
    });
    // Extended, not collected: repeated headers stay repeated.
    let mut headers = HeaderMap::new();
    pairs.for_each(|(name, value)| {
        headers.append(name, value);
    });
    (response.code.unwrap_or_default(), headers)
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use crate::{Node, chunked, upstream};

    #[test]
    fn pipelined_and_chunked_requests_in_random_pieces_are_answered_in_order() {
        let node = Node::new();
        let (app, client) = (node.pod("app"), node.pod("client"));
        let app = upstream(&app).start();
        let mut requests = b"GET /first HTTP/1.1\r\nHost: a\r\n\r\n".to_vec();
        requests.extend(b"POST /second HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        requests.extend(chunked([&b"abc"[..], b"defg"]));

        let mut wire = client.connect(app.address());
        wire.send_in_pieces(&requests, 5, 7);

        assert!(wire.reply().text().contains("\"target\":\"/first\""));
        assert!(wire.reply().text().contains("\"body_length\":7"));
        wire.finish();
        assert_eq!(wire.read_to_end().unwrap(), b"");
    }
}
