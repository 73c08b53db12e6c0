//! A response that tells its client that no other follows on the connection. The relay changes nothing else, and this
//! only while the agent leaves.

use bytes::{BufMut as _, Bytes, BytesMut};

/// Of a response's head; one with more is left as it is.
const HEADERS_MAX: usize = 100;

/// The same bytes, which begin with the head of a response, with `Connection: close` (RFC 9112 §9.6). None where it
/// cannot be said: the head is not whole, cannot be parsed, or changes the protocol.
pub(super) fn closing(chunk: &Bytes) -> Option<Bytes> {
    let mut begin = 0;
    loop {
        let mut room = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut head = httparse::Response::new(&mut room);
        let httparse::Status::Complete(length) = head.parse(&chunk[begin..]).ok()? else { return None };
        match head.code? {
            101 => return None,
            // Another head follows.
            100..=199 => begin += length,
            _ => return said(chunk, begin, head.headers),
        }
    }
}

/// `headers` point into the chunk, where the head begins at `begin`.
fn said(chunk: &Bytes, begin: usize, headers: &[httparse::Header<'_>]) -> Option<Bytes> {
    let is_connection = |header: &&httparse::Header<'_>| header.name.eq_ignore_ascii_case("connection");
    let values = || headers.iter().filter(is_connection).map(|header| header.value);
    let mut changed = BytesMut::with_capacity(chunk.len() + 32);
    let mut copied = 0;
    // Every one of them, for some clients look at the first and some at the last.
    for value in values() {
        let at = value.as_ptr() as usize - chunk.as_ptr() as usize;
        changed.put_slice(&chunk[copied..at]);
        changed.put_slice(b"close");
        copied = at + value.len();
        if !value.eq_ignore_ascii_case(b"keep-alive") && !value.eq_ignore_ascii_case(b"close") {
            changed.put_slice(b", ");
            copied = at;
        }
    }
    if copied == 0 {
        let first_line = chunk[begin..].iter().position(|byte| *byte == b'\n')? + 1;
        changed.put_slice(&chunk[..begin + first_line]);
        changed.put_slice(b"Connection: close\r\n");
        copied = begin + first_line;
    }
    changed.put_slice(&chunk[copied..]);
    Some(changed.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(response: &'static str) -> Option<String> {
        let changed = closing(&Bytes::from_static(response.as_bytes()))?;
        Some(String::from_utf8(changed.to_vec()).unwrap())
    }

    #[test]
    fn a_response_without_the_header_gets_it() {
        let told = changed("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
        assert_eq!(told, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
        assert_eq!(changed("HTTP/1.1 204\r\n\r\n").unwrap(), "HTTP/1.1 204\r\nConnection: close\r\n\r\n");
    }

    #[test]
    fn an_app_that_says_otherwise_is_overruled() {
        let told = |value: &str| {
            let head = format!("HTTP/1.1 200 OK\r\nA: b\r\ncOnnection:{value}\r\nC: d\r\n\r\nbody");
            let changed = closing(&Bytes::from(head)).unwrap();
            let text = String::from_utf8(changed.to_vec()).unwrap();
            let value = text.strip_prefix("HTTP/1.1 200 OK\r\nA: b\r\ncOnnection:").unwrap();
            value.strip_suffix("\r\nC: d\r\n\r\nbody").unwrap().to_owned()
        };
        assert_eq!(told(" keep-alive"), " close");
        assert_eq!(told(" Keep-Alive  "), " close  ");
        assert_eq!(told("close"), "close");
        assert_eq!(told(" Upgrade, Keep-Alive"), " close, Upgrade, Keep-Alive");
        let twice = changed("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nConnection: X\r\n\r\n").unwrap();
        assert_eq!(twice, "HTTP/1.0 200 OK\r\nConnection: close\r\nConnection: close, X\r\n\r\n");
    }

    #[test]
    fn interim_responses_stay_as_they_are() {
        let told = changed("HTTP/1.1 103 Hints\r\nConnection: a\r\n\r\nHTTP/1.1 200 OK\r\n\r\n").unwrap();
        assert_eq!(
            told,
            "HTTP/1.1 103 Hints\r\nConnection: a\r\n\r\nHTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
        );
        assert_eq!(changed("HTTP/1.1 100 Continue\r\n\r\n"), None);
    }

    #[test]
    fn what_cannot_be_told_for_sure_stays_as_it_is() {
        for response in [
            "HTTP/1.1 200 OK\r\nContent-Len",
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
            "220 smtp\r\n",
            "",
        ] {
            assert_eq!(changed(response), None, "{response:?}");
        }
    }
}
