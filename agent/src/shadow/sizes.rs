//! What heads of copies and their answers take on the wire: as HTTP/1.1 writes them, also where HTTP/2 packs them.

use http::{HeaderMap, Request, Response};

/// `: ` and CR LF of each field.
const FIELD: usize = 4;

pub(super) fn of_request<B>(request: &Request<B>) -> u64 {
    let path = request.uri().path_and_query().map_or(1, |path| path.as_str().len());
    // Where HTTP/2 names it, there is no such field.
    let host =
        request.uri().authority().map_or(0, |authority| "host".len() + authority.as_str().len() + FIELD);
    let line = request.method().as_str().len() + path + "  HTTP/1.1\r\n".len();
    (line + host + fields(request.headers())) as u64
}

pub(super) fn of_response<B>(response: &Response<B>) -> u64 {
    let reason = response.status().canonical_reason().map_or(0, str::len);
    ("HTTP/1.1 200 \r\n".len() + reason + fields(response.headers())) as u64
}

/// With the empty line after them.
fn fields(headers: &HeaderMap) -> usize {
    let lengths = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + FIELD);
    lengths.sum::<usize>() + "\r\n".len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_as_long_as_it_is_written() {
        let request = |uri: &str| Request::put(uri).header("x-a", "b").body(()).unwrap();
        let plain = "PUT /a?b HTTP/1.1\r\nx-a: b\r\n\r\n".len();
        assert_eq!(of_request(&request("/a?b")), plain as u64);
        assert_eq!(of_request(&request("http://c.test/a?b")), (plain + "host: c.test\r\n".len()) as u64);
        let response = Response::builder().status(404).header("x-a", "b").body(()).unwrap();
        assert_eq!(of_response(&response), "HTTP/1.1 404 Not Found\r\nx-a: b\r\n\r\n".len() as u64);
    }
}
