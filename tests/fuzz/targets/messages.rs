//! HTTP/1 conversations put together from parts that are mostly right, so that mutations reach what comes after a
//! legal head: what [`http1`] and [`strict`] ask, of these.

use arbitrary::{Result, Unstructured};

use super::{http1, strict};
use crate::{Step, Target};

pub(crate) const TARGET: Target = Target {
    name: "messages",
    run,
    max_len: 2048,
    words: Vec::new,
    seeds: || vec![vec![1; 200], vec![7; 600]],
};

const METHODS: &[&str] = &["GET", "POST", "HEAD", "PUT", "OPTIONS", "CONNECT", "X-Y"];
const TARGETS: &[&str] = &["/", "/a?b=c", "http://A/x", "*", "a:1", "//b", "/%2f|"];
const HOSTS: &[&str] = &["Host: a\r\n", "host:A:80\r\n", "HOST: a \r\n", "Host: a:1\r\n"];
const FIELDS: &[&str] = &[
    "X: y\r\n",
    "X:\r\n",
    "Cookie:\ta=b; c=d \r\n",
    "Connection: keep-alive\r\n",
    "Connection: x, close\r\n",
    "Connection: upgrade\r\nUpgrade: x\r\n",
    "Expect: 100-continue\r\n",
    "Trailer: x\r\n",
];
const STATUS: &[&str] =
    &["200 OK", "204 No", "304 ", "404", "417 No", "100 Continue", "103 Hints", "101 Switch"];
/// What should not be there, anywhere in a head.
const SPOILS: &[&str] = &[
    " folded\r\n",
    "X : y\r\n",
    "X: a\nY: b\r\n",
    "X: a\rb\r\n",
    "X: a\0\r\n",
    "Content-Length: +1\r\n",
    "Content-Length: 1\r\n",
    "Content-Length: 1,1\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "Transfer-Encoding: chunked,\r\n",
    "Transfer-Encoding:\x0bchunked\r\n",
    "Host: b\r\n",
    "\u{e9}: x\r\n",
    "no colon\r\n",
    "\r\n",
];
const EXTENSIONS: &[&str] = &["", ";a", ";a=\"b c\"", ";\t", " ", ";\n"];
const TRAILERS: &[&str] = &["", "", "X-Sum: 1\r\n", "Content-Length: 1\r\n", " folded\r\n"];

fn run(data: &[u8]) {
    // Bytes that are used up read as zeros: there is no error.
    let steps = conversation(&mut Unstructured::new(data)).unwrap_or_default();
    http1::holds(&steps, data.len() as u64);
    let said = |step: &Step| if let Step::Client(bytes) = step { bytes.clone() } else { Vec::new() };
    strict::agree(&steps.iter().flat_map(said).collect::<Vec<_>>());
}

fn conversation(bytes: &mut Unstructured<'_>) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    while !bytes.is_empty() && steps.len() < 12 {
        steps.push(match bytes.int_in_range(0..=9)? {
            0..=5 => Step::Client(request(bytes)?),
            6..=8 => Step::Server(response(bytes)?),
            _ if bytes.ratio(1, 8)? => Step::ClientEof,
            _ if bytes.ratio(1, 8)? => Step::ServerEof,
            _ => Step::Client(b"\r\n".to_vec()),
        });
    }
    Ok(steps)
}

fn request(bytes: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let (method, target) = (bytes.choose(METHODS)?, bytes.choose(TARGETS)?);
    let version = if bytes.ratio(1, 8)? { "HTTP/1.0" } else { "HTTP/1.1" };
    let mut text = format!("{method} {target} {version}\r\n");
    if bytes.ratio(15, 16)? {
        text += bytes.choose(HOSTS)?;
    }
    rest(bytes, text)
}

fn response(bytes: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let version = if bytes.ratio(1, 8)? { "HTTP/1.0" } else { "HTTP/1.1" };
    let text = format!("{version} {}\r\n", bytes.choose(STATUS)?);
    rest(bytes, text)
}

/// Fields, framing, body and, now and then, what spoils them.
fn rest(bytes: &mut Unstructured<'_>, mut head: String) -> Result<Vec<u8>> {
    for _ in 0..bytes.int_in_range(0..=3)? {
        let fields = if bytes.ratio(1, 12)? { SPOILS } else { FIELDS };
        head += bytes.choose(fields)?;
    }
    let mut body = Vec::new();
    match bytes.int_in_range(0..=3)? {
        0 => {}
        1 => {
            let length = bytes.int_in_range(0..=20)?;
            head += &format!("Content-Length: {length}\r\n");
            body.resize(length, b'x');
        }
        _ => {
            head += "Transfer-Encoding: chunked\r\n";
            body = chunks(bytes)?;
        }
    }
    let mut message = head.into_bytes();
    message.extend(b"\r\n");
    message.extend(body);
    if bytes.ratio(1, 16)? {
        let at = bytes.choose_index(message.len())?;
        message[at] = bytes.arbitrary()?;
    }
    Ok(message)
}

fn chunks(bytes: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    for _ in 0..bytes.int_in_range(0..=3)? {
        let data = vec![b'0'; bytes.int_in_range(1..=20)?];
        let size =
            if bytes.ratio(1, 16)? { "ffffffffffffffff".into() } else { format!("{:02x}", data.len()) };
        let extension = if bytes.ratio(1, 4)? { bytes.choose(EXTENSIONS)? } else { "" };
        body.extend(format!("{size}{extension}\r\n").bytes());
        body.extend(data);
        body.extend(b"\r\n");
    }
    body.extend(format!("0\r\n{}\r\n", bytes.choose(TRAILERS)?).bytes());
    Ok(body)
}
