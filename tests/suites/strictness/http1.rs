//! HTTP/1: messages two servers could end at different places, or route to different hosts.

use targets::Step;

use crate::case::{Case, Class, Told, client, server};

/// What a smuggler would like to be read as a second request.
const NEXT: &str = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// A POST with these header lines, then this, then another request.
fn post(lines: &str, rest: &str) -> String {
    format!("POST /first HTTP/1.1\r\nHost: a\r\n{lines}\r\n{rest}{NEXT}")
}

fn case(class: Class, steps: Vec<Step>, requests: &[&str], end: Option<&'static str>) -> Case {
    let first = steps.iter().find_map(|step| match step {
        Step::Client(bytes) => Some(String::from_utf8_lossy(&bytes[..bytes.len().min(120)]).into_owned()),
        _ => None,
    });
    let requests = requests.iter().map(|request| (*request).to_owned()).collect();
    let told = Told { requests, doubts: Vec::new(), end };
    Case { class, name: format!("{class:?}: {:?}", first.unwrap_or_default()), steps, told }
}

/// The reading ends before the first of these is told of.
fn refused(class: Class, end: &'static str, sent: &[String]) -> Vec<Case> {
    sent.iter().map(|sent| case(class, vec![client(sent)], &[], Some(end))).collect()
}

pub(crate) fn cases() -> Vec<Case> {
    use Class::*;
    let te = |value: &str| post(&format!("Transfer-Encoding:{value}\r\n"), "0\r\n\r\n");
    let length = |value: &str| post(&format!("Content-Length:{value}\r\n"), "x");
    let chunked = |chunks: &str| post("Transfer-Encoding: chunked\r\n", chunks);
    let line = |line: &str| format!("GET / HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n{NEXT}");
    let both = "GET /next";
    let mut all = vec![
        // What is plain must be read, or all of this would be easy.
        case(
            LengthAndEncoding,
            vec![client(post("Content-Length: 3\r\n", "abc"))],
            &["POST /first abc", both],
            None,
        ),
        case(ObfuscatedEncoding, vec![client(te(" chunked"))], &["POST /first", both], None),
        case(ObfuscatedEncoding, vec![client(te("cHuNkEd "))], &["POST /first", both], None),
        case(Lengths, vec![client(length(" 0001"))], &["POST /first x", both], None),
        case(
            Chunks,
            vec![client(chunked("2;a=\"b\"\r\nab\r\n0;c\r\nX: y\r\n\r\n"))],
            &["POST /first ab", both],
            None,
        ),
        // RFC 9112 §6.3: without a length there is no body, whatever the method.
        case(BodyOnGet, vec![client(post("", ""))], &["POST /first", both], None),
        case(
            BodyOnGet,
            vec![client(format!("GET /first HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello{NEXT}"))],
            &["GET /first hello", both],
            None,
        ),
        case(
            BodyOnGet,
            vec![client(format!(
                "DELETE /first HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n{NEXT}"
            ))],
            &["DELETE /first x", both],
            None,
        ),
        // Bytes where no body was announced are a request, and this is none.
        case(
            BodyOnGet,
            vec![client(format!("GET / HTTP/1.1\r\nHost: a\r\n\r\n{{}}{NEXT}"))],
            &["GET /"],
            Some("request_line"),
        ),
        // Nothing is a tunnel before a 101, and nothing is a request after the wish for one.
        case(
            UpgradeSmuggling,
            vec![client(format!(
                "GET /first HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\n{NEXT}"
            ))],
            &["GET /first"],
            Some("pipelined_after_upgrade"),
        ),
        case(
            UpgradeSmuggling,
            vec![
                client("GET /first HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\n"),
                server(OK),
                client(NEXT),
            ],
            &["GET /first", both],
            None,
        ),
        case(
            UpgradeSmuggling,
            vec![
                client("GET /first HTTP/1.1\r\nHost: a\r\n\r\n"),
                server("HTTP/1.1 101 Sure\r\nUpgrade: foo\r\n\r\n"),
            ],
            &["GET /first"],
            Some("unrequested_upgrade"),
        ),
        case(
            UpgradeSmuggling,
            vec![client(format!("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n{NEXT}"))],
            &["CONNECT a:80"],
            Some("pipelined_after_upgrade"),
        ),
        // A request's body never lasts until the end of the connection.
        case(
            Http10Body,
            vec![client("POST /first HTTP/1.0\r\n\r\nbody")],
            &["POST /first"],
            Some("after_close"),
        ),
        case(
            Http10Body,
            vec![client(format!(
                "POST /first HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx{NEXT}"
            ))],
            &["POST /first x", both],
            None,
        ),
        // An early answer does not end a body.
        case(
            UndrainedBody,
            vec![
                client("POST /first HTTP/1.1\r\nHost: a\r\nContent-Length: 31\r\n\r\n"),
                server(OK),
                client(format!("{NEXT}{NEXT}")),
                server(OK),
            ],
            &["POST /first GET /next HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n", both],
            None,
        ),
        // Whether the next bytes are the body or a request, only the client knows.
        case(
            UndrainedBody,
            vec![
                client(
                    "POST /first HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 31\r\n\r\n",
                ),
                server(OK),
                client(NEXT),
            ],
            &[],
            Some("after_refusal"),
        ),
        case(
            H2cSmuggling,
            vec![client(
                "GET /first HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            )],
            &["GET /first"],
            Some("pipelined_after_upgrade"),
        ),
        // Prior knowledge is for the beginning of a connection.
        case(
            H2cSmuggling,
            vec![client("GET /first HTTP/1.1\r\nHost: a\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")],
            &["GET /first"],
            Some("version"),
        ),
        case(
            HostConfusion,
            vec![client(format!("GET http://A:80/first HTTP/1.1\r\nHost: a:80\r\n\r\n{NEXT}"))],
            &["GET http://A:80/first", both],
            None,
        ),
        case(
            Slow,
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n".bytes().map(|byte| client([byte])).collect(),
            &["GET /"],
            None,
        ),
        // Whatever the coding of a body, it is passed on as it is.
        case(
            DecompressionBomb,
            vec![client(post("Content-Encoding: gzip\r\nContent-Length: 4\r\n", "\x1f\x7f\x08\x01"))],
            &["POST /first \\x1f\\x7f\\x08\\x01", both],
            None,
        ),
    ];
    let refusals = [
        refused(
            LengthAndEncoding,
            "length_and_encoding",
            &[
                post("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
                post("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", "0\r\n\r\n"),
            ],
        ),
        refused(
            ObfuscatedEncoding,
            "transfer_encoding",
            &[
                te(" chunked,"),
                te(" ,chunked"),
                te(" chunked, gzip"),
                te(" gzip, chunked"),
                te(" chunked, chunked"),
                te("\tchunked"),
                te(" chunked\t"),
                te(" \u{a0}chunked"),
                te(" chunked;q=1"),
                te(" 'chunked'"),
                te(" identity"),
                te(" xchunked"),
                te(""),
                post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
                post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n"),
            ],
        ),
        refused(ObfuscatedEncoding, "control_byte", &[te(" \x0bchunked"), te(" chunked\0")]),
        refused(ObfuscatedEncoding, "header_name", &[post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n")]),
        refused(ObfuscatedEncoding, "obs_fold", &[te("\r\n chunked")]),
        refused(
            Lengths,
            "content_length",
            &[
                length(" +1"),
                length(" -1"),
                length(" 1_0"),
                length(" 0x10"),
                length(" 1.0"),
                length(" 1 1"),
                length(""),
                length(" 1, 1"),
                length(" 18446744073709551616"),
                post("Content-Length: 1\r\nContent-Length: 1\r\n", "x"),
                post("Content-Length: 1\r\ncontent-length: 2\r\n", "x"),
            ],
        ),
        refused(
            Http10Body,
            "encoding_in_http10",
            &[format!("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{NEXT}")],
        ),
        refused(
            Chunks,
            "chunk_size",
            &[
                chunked("0_2e\r\n"),
                chunked("0x1\r\nx\r\n0\r\n\r\n"),
                chunked("+1\r\nx\r\n0\r\n\r\n"),
                chunked(" 1\r\nx\r\n0\r\n\r\n"),
                chunked("1 ;a\r\nx\r\n0\r\n\r\n"),
                chunked("\r\n"),
                chunked("10000000000000001\r\n"),
            ],
        ),
        refused(Chunks, "chunk_extension", &[chunked("1;a\0\r\nx\r\n0\r\n\r\n")]),
        refused(Chunks, "bare_cr", &[chunked("1;a\rb\r\nx\r\n0\r\n\r\n")]),
        refused(
            Chunks,
            "bare_lf",
            &[
                chunked("1;a\nx\r\n0\r\n\r\n"),
                chunked("1\nx\r\n0\r\n\r\n"),
                chunked("0\n\r\n"),
                chunked("0\r\n\n"),
            ],
        ),
        refused(Chunks, "trailer_field", &[chunked("0\r\nContent-Length: 31\r\n\r\n")]),
        refused(HeadBytes, "bare_cr", &[line("X: a\rY: b"), line("X: a\r\r")]),
        refused(HeadBytes, "bare_lf", &[line("X: a\nY: b"), "GET / HTTP/1.1\nHost: a\n\n".into()]),
        refused(HeadBytes, "control_byte", &[line("X: a\0b"), line("X: a\x7fb")]),
        refused(
            HeadBytes,
            "obs_fold",
            &[line("X: a\r\n b"), line("X: a\r\n\tContent-Length: 1"), line(" X: a")],
        ),
        refused(HeadBytes, "header_name", &[line("X : a"), line("\u{e9}: a"), line(": a"), line("X")]),
        refused(HostConfusion, "host_repeated", &[line("Host: b"), line("host: a")]),
        refused(HostConfusion, "host_missing", &["GET / HTTP/1.1\r\n\r\n".into()]),
    ];
    all.extend(refusals.concat());
    let host = |target: &str, host: &str| format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n{NEXT}");
    all.extend(refused(HostConfusion, "host_mismatch", &[host("http://b/", "a"), host("http://a:80/", "a")]));
    all.extend(refused(
        HostConfusion,
        "host_invalid",
        &[host("/", "a, b"), host("/", "u@a"), host("/", "a/b"), host("/", "a b")],
    ));
    all.extend(refused(HostConfusion, "userinfo", &[host("http://u@a/", "a")]));
    all.extend(refused(HostConfusion, "fragment", &[host("http://a#@b/", "a"), host("/#", "a")]));
    all.extend(refused(HostConfusion, "target", &[host("a", "a"), host("http://a\\b/", "a")]));
    // The data came before the doubt, and its request is not whole.
    all.push(case(Chunks, vec![client(chunked("1\r\nx0\r\n\r\n"))], &[], Some("chunk_end")));
    all.push(case(
        Chunks,
        vec![
            client("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"),
            Step::ClientEof,
        ],
        &[],
        Some("truncated"),
    ));
    all
}
