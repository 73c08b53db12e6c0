//! What is not read: it is relayed all the same, and counted.

use support::Pod;

use crate::{
    probe::{hold, probe},
    scene::{Files, Scene},
    servers::{NginxServer, Program, certificate},
};

fn shadow(pod: &Pod, files: &Files) -> NginxServer {
    NginxServer::start(pod, "", files)
}

#[test]
fn websocket() {
    let scene = Scene::new("HTTP", |pod, _| Program::python(pod, "ws_server.py", &[]), shadow);
    let books = "http1 1, unread upgraded 1, requests 1, dropped upgrade 1";
    hold(
        &scene,
        [
            probe("ten thousand messages", "$python $programs/ws_client.py $to 10000")
                .bytes_vary()
                .books(books),
            probe("compressed messages", "$python $programs/ws_client.py $to 500 deflate")
                .bytes_vary()
                .books(books),
        ],
    );
}

#[test]
fn tls() {
    let app = |pod: &Pod, files: &Files| {
        let [key, certificate] = certificate(files.path()).map(|path| path.display().to_string());
        let listen = format!("ssl http2; ssl_certificate {certificate}; ssl_certificate_key {key}");
        NginxServer::start(pod, &listen, files)
    };
    let scene = Scene::new("HTTP", app, shadow);
    let books = "tls 1, unread tls 1";
    let https = [
        probe("http/1.1", "curl -ksSi --http1.1 https://$to/hello.txt https://$to/nothing"),
        probe("http/2", "curl -ksSi --http2 https://$to/hello.txt"),
        probe("an upload", "curl -ksSi --http1.1 -T noise https://$to/upload"),
        probe("a download", "curl -ksS --http2 https://$to/noise | sha256sum"),
        probe("TLS 1.2", "curl -ksSi --tls-max 1.2 https://$to/hello.txt"),
        probe("a certificate that is not trusted", "curl -sS https://$to/hello.txt; test $? = 60"),
        probe(
            "openssl",
            "openssl s_client -connect $to </dev/null 2>/dev/null | openssl x509 -noout -fingerprint",
        ),
        probe("nghttp", "nghttp -y https://$to/hello.txt"),
    ];
    hold(&scene, https.map(|probe| probe.bytes_vary().books(books)));
}

#[test]
fn a_server_that_speaks_first() {
    let scene = Scene::new("HTTP", |pod, _| Program::python(pod, "smtp_server.py", &[]), shadow);
    let send = "curl -sSv smtp://$to/client.test --mail-from a@client.test --mail-rcpt b@peers.test";
    let mail = |what: &str| format!("{send} -T {what} 2>&1 | grep '^[<>]'").leak();
    let books = "opaque 1, unread opaque 1";
    hold(
        &scene,
        [
            probe("a mail", mail("hello.txt")).books(books),
            probe("a long mail", mail("lines.txt")).books(books),
        ],
    );
}
