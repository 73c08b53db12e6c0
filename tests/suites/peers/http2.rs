//! HTTP/2 without TLS: curl, nghttp and h2load against nginx and nghttpd; and frames that are odd but legal, sent by the h2
//! library to a server made with it.

use support::Pod;

use crate::{
    probe::{Probe, hold, probe},
    scene::{Files, Scene},
    servers::{NginxServer, PORT, Program},
};

fn nginx(pod: &Pod, files: &Files) -> NginxServer {
    NginxServer::start(pod, "http2", files)
}

fn h2_server(pod: &Pod, _: &Files) -> Program {
    Program::python(pod, "h2_server.py", &[])
}

#[test]
fn curl_nghttp_and_h2load_with_nginx_in_http2() {
    let scene = Scene::new("HTTP2", nginx, nginx);
    hold(
        &scene,
        [
            probe("curl: get", "curl -sSi --http2-prior-knowledge -H 'x-twice: 1' -b 'a=1; b=2' $url/noise | grep -aiv ^date: | sha256sum")
                .mirrored("http2 1, requests 1, completed 1"),
            probe("curl: head", "curl -sSI --http2-prior-knowledge $url/noise")
                .mirrored("http2 1, requests 1, completed 1"),
            probe("curl: status codes", "for path in nothing missing elsewhere empty; do curl -sSi --http2-prior-knowledge $url/$path; done")
                .mirrored("http2 4, requests 4, completed 4"),
            probe("curl: a range", "curl -sSi --http2-prior-knowledge -r 100-1099 $url/noise | grep -aiv ^date: | sha256sum")
                .mirrored("http2 1, requests 1, completed 1"),
            probe("curl: an upload of known length", "curl -sSi --http2-prior-knowledge -T noise $url/upload")
                .bytes_vary()
                .mirrored("http2 1, requests 1, completed 1"),
            probe("curl: an upload of unknown length", "curl -sSi --http2-prior-knowledge -T - $url/upload < noise")
                .bytes_vary()
                .mirrored("http2 1, requests 1, completed 1"),
            probe("curl: 100-continue", "curl -sSi --http2-prior-knowledge -H 'expect: 100-continue' -d @hello.txt $url/upload")
                .bytes_vary()
                .mirrored("http2 1, requests 1, completed 1"),
            probe("nghttp: get", "nghttp $url/noise | grep -aiv ^date: | sha256sum").bytes_vary().mirrored("http2 1, requests 1, completed 1"),
            probe("nghttp: padding, CONTINUATION, no table", "nghttp -b 200 --continuation -c 0 -H x-long:$(printf %05000d 7) $url/hello.txt")
                .bytes_vary()
                .mirrored("http2 1, requests 1, completed 1"),
            probe("nghttp: weights, dependencies, repeated", "nghttp -p 3 -m 10 $url/hello.txt")
                .bytes_vary()
                .mirrored("http2 1, requests 10, completed 10"),
            probe("nghttp: an upload, small windows", "nghttp -w 1 -W 1 --expect-continue -d noise $url/upload")
                .bytes_vary()
                .mirrored("http2 1, requests 1, completed 1"),
            frames("h2: GOAWAY of the client", "client_goes_away").mirrored("http2 1, requests 1, completed 1"),
            probe("h2load", "h2load -n 500 -c 5 -m 20 -H cookie:a=1 $url/hello.txt | grep -E '^(requests|status)'")
                .bytes_vary()
                .mirrored("http2 5, requests 500, completed 500"),
            probe("h2load: uploads", "h2load -n 20 -c 2 -m 5 -d lines.txt $url/upload | grep -E '^(requests|status)'")
                .bytes_vary()
                .mirrored("http2 2, requests 20, completed 20"),
        ],
    );
}

/// nghttpd says nothing that could be compared of what it got, so here only the books tell of copies.
#[test]
fn nghttp_and_nghttpd() {
    let nghttpd = |pod: &Pod, files: &Files| {
        let mut command = pod.netns().command("nghttpd");
        command.args(["--no-tls", "--echo-upload", "--trailer=x-checksum: abc", "-b", "100", "-c", "0"]);
        command.args(["--push=/hello.txt=/lines.txt,/empty", "-d"]).arg(files.path()).arg(PORT.to_string());
        Program::start(pod, command)
    };
    let scene = Scene::new("HTTP2", nghttpd, nghttpd);
    let books = "http2 1, requests 1, completed 1";
    let probes = [
        probe("a download with trailers", "nghttp $url/noise | sha256sum"),
        probe("a page with pushes", "nghttp $url/hello.txt | sort | uniq -c"),
        probe("pushes refused", "nghttp --no-push $url/hello.txt"),
        probe("an upload echoed", "nghttp -b 50 --trailer=x-checksum:abc -d noise $url/echo | sha256sum"),
        probe("curl: an upload echoed", "curl -sS --http2-prior-knowledge -T noise $url/echo | sha256sum"),
    ];
    hold(&scene, probes.map(|probe| probe.bytes_vary().books(books)));
}

fn frames(name: &'static str, scenario: &'static str) -> Probe {
    let line = format!("$python $programs/h2_client.py $to {scenario}");
    probe(name, line.leak())
}

#[test]
fn frames_that_are_odd_but_legal() {
    let scene = Scene::new("HTTP2", h2_server, h2_server);
    hold(
        &scene,
        [
            frames("padding", "padding").mirrored("http2 1, requests 1, completed 1"),
            frames("CONTINUATION of one byte, and of none", "continuation")
                .mirrored("http2 1, requests 2, completed 2"),
            frames("PRIORITY everywhere", "priorities").mirrored("http2 1, requests 4, completed 4"),
            frames("bodies of many streams mixed", "interleaved")
                .mirrored("http2 1, requests 16, completed 16"),
            frames("PING floods, unknown frames and settings", "strangers")
                .bytes_vary()
                .mirrored("http2 1, requests 1, completed 1"),
            frames("empty DATA", "empty_data").mirrored("http2 1, requests 2, completed 2"),
            frames("trailers, with and without a body", "trailers")
                .mirrored("http2 1, requests 2, completed 2"),
            frames("tables of no size and of a large one", "tables")
                .bytes_vary()
                .mirrored("http2 1, requests 12, completed 12"),
            frames("literals, never indexed", "literals").mirrored("http2 1, requests 1, completed 1"),
            frames("a window of one byte", "tiny_window")
                .bytes_vary()
                .mirrored("http2 1, requests 2, completed 2"),
            frames("interim answers", "interim").mirrored("http2 1, requests 1, completed 1"),
            frames("GOAWAY of the server", "server_goes_away").mirrored("http2 1, requests 2, completed 2"),
            frames("RST_STREAM of the client", "resets")
                .mirrored("http2 1, requests 3, completed 2, dropped cancelled 1"),
            // The shadow resets such a stream too: whether before the copy was stopped, nobody knows.
            frames("RST_STREAM of the server", "server_resets").copied(),
            frames("push", "push").mirrored("http2 1, requests 1, completed 1"),
            frames("push refused", "no_push").mirrored("http2 1, requests 1, completed 1"),
            frames("CONNECT", "connect").mirrored("http2 1, skipped connect 1, requests 1, completed 1"),
            frames("HEAD, Host, crumbs", "shapes").mirrored("http2 1, requests 4, completed 4"),
            // As in Envoy, no path begins with an asterisk.
            frames("OPTIONS *", "asterisk").books("http2 1, unmatched 1"),
            frames("each byte in its own packet", "drops").mirrored("http2 1, requests 1, completed 1"),
            frames("4 MB up, 1 MB down", "large").bytes_vary().mirrored("http2 1, requests 2, completed 2"),
            probe("nghttp: trailers", "nghttp --trailer=x-checksum:abc -d lines.txt $url/trailers")
                .bytes_vary()
                .mirrored("http2 1, requests 1, completed 1"),
            probe("curl: upgrade to h2c", "curl -sSi --http2 $url/first $url/second")
                .bytes_vary()
                .mirrored("http1 1, requests 2, completed 2"),
            probe("nghttp: upgrade to h2c", "nghttp -u $url/first")
                .bytes_vary()
                .mirrored("http1 1, requests 1, completed 1"),
        ],
    );
}
