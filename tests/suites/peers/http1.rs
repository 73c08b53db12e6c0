//! curl and nginx, in HTTP/1.0 and 1.1.

use serde_json::json;
use support::Pod;

use crate::{
    probe::{hold, probe},
    scene::{Files, Scene},
    servers::{NginxServer, Program},
};

fn nginx(pod: &Pod, files: &Files) -> NginxServer {
    NginxServer::start(pod, "", files)
}

#[test]
fn curl_and_nginx_in_http1() {
    let scene = Scene::new("HTTP", nginx, nginx);
    hold(
        &scene,
        [
            probe("http/1.0", "curl -sSi -0 $url/hello.txt?a=%20b").mirrored("http1 1, requests 1, completed 1"),
            probe("http/1.0, a body", "curl -sSi -0 -d a=b $url/upload")
                .mirrored("http1 1, requests 1, completed 1"),
            probe("get", "curl -sSi -H 'x-twice: 1' -H 'x-twice: 2' -b 'a=1; b=2' $url/noise | grep -aiv ^date: | sha256sum")
                .mirrored("http1 1, requests 1, completed 1"),
            probe("head", "curl -sSI $url/noise").mirrored("http1 1, requests 1, completed 1"),
            probe("a kept connection", "curl -sSi $url/hello.txt $url/upload?1 $url/nothing $url/missing $url/empty")
                .mirrored("http1 1, requests 5, completed 5"),
            probe("many connections", "curl -sS -Z --parallel-immediate $url/upload?[1-20] 2>/dev/null | wc -l")
                .bytes_vary()
                .mirrored("http1 20, requests 20, completed 20"),
            probe("closed by the server", "curl -sSi -H 'connection: close' $url/hello.txt")
                .mirrored("http1 1, requests 1, completed 1"),
            probe("a redirect followed", "curl -sSiL $url/elsewhere")
                .mirrored("http1 1, requests 2, completed 2"),
            probe("not modified", "etag=$(curl -sSI $url/hello.txt | sed -n 's/^ETag: //p' | tr -d '\\r') && curl -sSi -H \"if-none-match: $etag\" $url/hello.txt")
                .mirrored("http1 2, requests 2, completed 2"),
            probe("a range", "curl -sSi -r 100-1099 $url/noise | grep -aiv ^date: | sha256sum")
                .mirrored("http1 1, requests 1, completed 1"),
            probe("several ranges", "curl -sS -r 0-9,100-199,-50 $url/lines.txt | tr -d '\\r' | grep -v '^--'")
                .mirrored("http1 1, requests 1, completed 1"),
            probe("a range that cannot be", "curl -sSi -r 9000000- $url/noise")
                .mirrored("http1 1, requests 1, completed 1"),
            probe("a download gone on with", "curl -sS -C 2999990 -o - $url/noise | grep -aiv ^date: | sha256sum")
                .mirrored("http1 1, requests 1, completed 1"),
            probe("compressed", "curl -sSi -H 'accept-encoding: gzip' $url/gzip/lines.txt | grep -aiv ^date: | sha256sum")
                .mirrored("http1 1, requests 1, completed 1"),
            probe("a form", "curl -sSi -d name=value -d more=%20 $url/upload")
                .mirrored("http1 1, requests 1, completed 1"),
            probe("an upload of known length", "curl -sSi -T noise $url/upload")
                .mirrored("http1 1, requests 1, completed 1"),
            probe("an upload in chunks", "curl -sSi -T - $url/upload < noise")
                .bytes_vary()
                .mirrored("http1 1, requests 1, completed 1"),
            probe("an empty upload", "curl -sSi -T empty $url/upload")
                .mirrored("http1 1, requests 1, completed 1"),
            probe("100-continue", "curl -sSi -H 'expect: 100-continue' -d @hello.txt $url/upload")
                .mirrored("http1 1, requests 1, completed 1"),
            probe("trailers of a response", "curl -sSi $url/trailers").mirrored("http1 1, requests 1, completed 1"),
            probe("an upgrade nobody takes up", "curl -sSi -H 'connection: upgrade' -H 'upgrade: foo/2' $url/hello.txt")
                .books("http1 1, requests 1, dropped upgrade 1"),
        ],
    );
}

/// nginx shows no trailers, so the shadow is asked.
#[test]
fn what_nginx_got_in_http1_an_http2_shadow_gets_with_its_trailers() {
    let scene = Scene::new("HTTP2", nginx, |pod, _| Program::python(pod, "h2_server.py", &[]));
    hold(
        &scene,
        [
            probe("chunks and trailers", "$python $programs/h1_trailers.py $to").copies(json!([{
                "host": "peers.test",
                "headers": [
                    [":method", "POST"], [":path", "/upload?a=%20b"], [":scheme", "http"],
                    ["accept-encoding", "identity"], ["x-note", "chunks"]
                ],
                "cookie": "a=1; b=2",
                "length": 300_000,
                "body": "3dcacbcf457e4373e0b66695b2d8aa83e3f84ebe490ad9913a64a806c776af5c",
                "trailers": [["x-again", "1"], ["x-again", "2"], ["x-checksum", "abc"]]
            }])),
            probe("no chunks, no trailers", "$python $programs/h1_trailers.py $to none").copies(json!([{
                "host": "peers.test",
                "headers": [
                    [":method", "POST"], [":path", "/upload?a=%20b"], [":scheme", "http"],
                    ["accept-encoding", "identity"], ["content-length", "0"], ["x-note", "none"]
                ],
                "cookie": "",
                "length": 0,
                "body": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                "trailers": []
            }])),
        ],
    );
}
