//! HTTPS to an app whose certificate and key AgentConfig names: read and copied, with a real server and a real client
//! that cannot tell. Everything that cannot be read reaches the app as if nobody had looked, with a reason.

#![allow(clippy::unwrap_used, reason = "a suite fails where it stands")]

use std::{
    fs,
    io::{Read as _, Write as _},
    net::SocketAddr,
    process::{Command, Stdio},
};

use rcgen::{CertificateParams, KeyPair};
use support::{Agent, Body, Config, Nginx, Node, Pod, Upstream, agent, binary, eventually, upstream};
use tempfile::TempDir;

/// The app's port.
const PORT: u16 = 8443;

/// An nginx with TLS that reads every body before it answers, mirrored to a server that speaks plain HTTP/1.1. Files of
/// certificates: `NAME.crt` and `NAME.key` for the app's names, and `umbra.crt`, `umbra.key` for the agent.
struct World {
    node: Node,
    app: Pod,
    client: Pod,
    files: TempDir,
    primary: Nginx,
    copies: Upstream,
}

impl World {
    /// The agent has the app's own certificate.
    fn new(server: &str) -> Self {
        let world = Self::with(server);
        world.give_umbra("app.test");
        world
    }

    fn with(server: &str) -> Self {
        let node = Node::new();
        let (app, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
        let files = tempfile::tempdir().unwrap();
        for name in ["app.test", "other.test", "user.test"] {
            let key = KeyPair::generate().unwrap();
            let certificate =
                CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap();
            fs::write(files.path().join(format!("{name}.crt")), certificate.pem()).unwrap();
            fs::write(files.path().join(format!("{name}.key")), key.serialize_pem()).unwrap();
        }
        let folder = files.path().display();
        let http = format!(
            "  log_format seen '$ssl_server_name $ssl_protocol $server_protocol $request_method $request_uri $remote_addr';\n  \
             access_log seen.log seen;\n  client_max_body_size 0;\n  \
             ssl_certificate {folder}/app.test.crt; ssl_certificate_key {folder}/app.test.key;\n  \
             ssl_protocols TLSv1.2 TLSv1.3; ssl_ecdh_curve X25519:prime256v1:secp521r1;\n  \
             {}\n  \
             server {{ listen 127.0.0.1:8081; access_log off; return 200 ok; }}",
            server.replace("FILES", &folder.to_string())
        );
        let primary = Nginx::start(app.netns(), SocketAddr::new(app.ip(), PORT), &http);
        let copies = upstream(&shadow).start();
        Self { node, app, client, files, primary, copies }
    }

    fn file(&self, name: &str) -> String {
        self.files.path().join(name).display().to_string()
    }

    /// Puts the certificate of this name where the agent looks.
    fn give_umbra(&self, name: &str) {
        for kind in ["crt", "key"] {
            fs::copy(self.file(&format!("{name}.{kind}")), self.file(&format!("umbra.{kind}"))).unwrap();
        }
    }

    fn config(&self) -> Config {
        let tls = format!(
            "    tls:\n    - {{port: {PORT}, certificate: {}, privateKey: {}}}",
            self.file("umbra.crt"),
            self.file("umbra.key")
        );
        Config::capture(&self.app.netns().path(), self.primary.address())
            .mirror(self.copies.address(), 100.0)
            .agent(&tls)
    }

    fn agent(&self) -> Agent {
        agent(&self.node).config(&self.config()).start()
    }

    /// For a host of the app, whose certificate alone is trusted.
    fn curl(&self, host: &str) -> Command {
        let mut curl = self.client.netns().command("curl");
        curl.args(["-sS", "--max-time", "60", "--cacert", &self.file(&format!("{host}.crt"))]);
        curl.args(["--resolve", &format!("{host}:{PORT}:{}", self.app.ip())]);
        curl
    }

    fn seen(&self, lines: usize) -> String {
        eventually("nginx to have written its log", || {
            Some(self.primary.file("seen.log")).filter(|log| log.lines().count() >= lines)
        })
    }
}

const SERVER: &str = "server { listen 8443 ssl http2; server_name app.test; location / { proxy_pass http://127.0.0.1:8081; } }";

fn url(host: &str, path: &str) -> String {
    format!("https://{host}:{PORT}{path}")
}

fn output(curl: &mut Command) -> String {
    let output = curl.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{curl:?}: {}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

fn unread(agent: &Agent, reason: &str, count: u32) {
    agent.eventually(&format!("umbra_unread_connections_total{{reason=\"{reason}\"}}"), count);
}

#[test]
fn copies_equal_their_primaries_whatever_version_client_and_app_agree_on() {
    let world = World::new(SERVER);
    let agent = world.agent();
    let body: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).take(3_000_000).collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().write_all(&body).unwrap();
    let data = format!("@{}", file.path().display());

    let ways = [
        (["--http1.1", "--tlsv1.3"], "/1?a=%20b", "TLSv1.3 HTTP/1.1"),
        (["--http2", "--tlsv1.3"], "/2", "TLSv1.3 HTTP/2.0"),
        (["--http1.1", "--tls-max=1.2"], "/3", "TLSv1.3 HTTP/1.1"),
        (["--http2", "--tls-max=1.2"], "/4", "TLSv1.3 HTTP/2.0"),
    ];
    for (number, (options, path, _)) in (1..).zip(&ways) {
        let [version, tls] = *options;
        let tls: Vec<_> = tls.split('=').collect();
        let mut curl = world.curl("app.test");
        curl.arg(version).args(tls).args(["--data-binary", &data]).arg(url("app.test", path));
        assert_eq!(output(&mut curl), "ok");
        let copy = &world.copies.eventually_received(number)[number - 1];
        assert_eq!((copy.method.as_str(), copy.target.as_str()), ("POST", *path));
        assert_eq!(copy.header("host"), format!("app.test:{PORT}"));
        assert_eq!((copy.header("x-forwarded-proto"), copy.header("x-umbra-shadow")), ("", "1"));
        assert_eq!(copy.body, Body::of(&body));
    }

    let seen = world.seen(4);
    for ((_, path, agreed), line) in ways.iter().zip(seen.lines()) {
        assert_eq!(line, format!("app.test {agreed} POST {path} {}", world.client.ip()));
    }
    agent.eventually("umbra_connections_total{protocol=\"http1\"}", 2);
    agent.eventually("umbra_connections_total{protocol=\"http2\"}", 2);
    agent.eventually("umbra_tls_handshakes_total{outcome=\"completed\"}", 4);
    agent.eventually("umbra_unread_connections_total", 0);
    agent.eventually("umbra_shadow_outcomes_total{outcome=\"completed\"}", 4);
    agent.accounting_is_exact();
}

#[test]
fn a_client_whom_only_the_app_can_serve_is_served_by_it() {
    let world = World::new(
        "server { listen 8443 ssl default_server; ssl_reject_handshake on; }\n  \
         server { listen 8443 ssl http2; server_name app.test; return 200 ok; }\n  \
         server { listen 8443 ssl; server_name other.test; ssl_certificate FILES/other.test.crt; \
         ssl_certificate_key FILES/other.test.key; return 200 other; }",
    );
    let agent = world.agent();

    assert_eq!(output(world.curl("other.test").arg(url("other.test", "/"))), "other");
    unread(&agent, "tls_other_certificate", 1);
    // No curve that the agent has.
    assert_eq!(output(world.curl("app.test").args(["--curves", "P-521"]).arg(url("app.test", "/"))), "ok");
    unread(&agent, "tls_client_hello", 1);
    // The app's own refusal of a name it does not serve.
    let unknown = format!("user.test:{PORT}:{}", world.app.ip());
    let refused =
        world.curl("app.test").args(["--resolve", &unknown]).arg(url("user.test", "/")).output().unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("unrecognized name"), "{refused:?}");
    unread(&agent, "tls_app", 1);
    // Plain text at a port of TLS.
    let told = output(world.curl("app.test").arg(format!("http://app.test:{PORT}/plain")));
    assert!(told.contains("The plain HTTP request was sent to HTTPS port"), "{told}");
    agent.eventually("umbra_connections_total{protocol=\"http1\"}", 1);
    // Whoever is not content with the certificate, is so without the agent too.
    let wary = world.curl("other.test").arg(url("app.test", "/")).output().unwrap();
    assert!(!wary.status.success());

    assert_eq!(output(world.curl("app.test").arg(url("app.test", "/read"))), "ok");
    agent.eventually("umbra_tls_handshakes_total{outcome=\"completed\"}", 1);
    let copies = world.copies.eventually_received(2);
    assert_eq!(copies.last().unwrap().target, "/read");
    agent.accounting_is_exact();
}

#[test]
fn an_app_that_asks_for_certificates_gets_its_clients_own() {
    let world = World::new(
        "server { listen 8443 ssl; server_name app.test; ssl_client_certificate FILES/user.test.crt; \
         ssl_verify_client on; return 200 $ssl_client_s_dn; }",
    );
    let agent = world.agent();
    for count in 1..=2 {
        let mut curl = world.curl("app.test");
        curl.args(["--cert", &world.file("user.test.crt"), "--key", &world.file("user.test.key")]);
        assert_ne!(output(curl.arg(url("app.test", "/"))), "");
        unread(&agent, "tls_client_certificate", count);
    }
    let without = output(world.curl("app.test").arg(url("app.test", "/")));
    assert!(without.contains("No required SSL certificate was sent"), "{without}");
    assert_eq!(world.copies.count(), 0);
}

#[test]
fn certificates_are_read_again_and_a_bad_pair_changes_nothing() {
    let world = World::with(SERVER);
    world.give_umbra("other.test");
    let agent = world.agent();
    let get = |path| assert_eq!(output(world.curl("app.test").arg(url("app.test", path))), "ok");
    get("/sealed");
    unread(&agent, "tls_other_certificate", 1);

    world.give_umbra("app.test");
    agent.eventually("umbra_tls_certificates_usable", 1);
    eventually("the new certificate to be in force", || {
        get("/read");
        (agent.metrics().sum("umbra_tls_handshakes_total{outcome=\"completed\"}") > 0.5).then_some(())
    });
    assert_eq!(world.copies.eventually_received(1)[0].target, "/read");

    fs::copy(world.file("other.test.key"), world.file("umbra.key")).unwrap();
    agent.eventually("umbra_tls_reloads_total{outcome=\"refused\"}", 1);
    assert!(agent.log().contains("umbra.key is not the key of"), "{}", agent.log());
    let copied = world.copies.count();
    get("/still");
    assert_eq!(world.copies.eventually_received(copied + 1)[copied].target, "/still");

    let secret = fs::read_to_string(world.file("app.test.key")).unwrap();
    let secret = secret.lines().nth(1).unwrap();
    let dump = agent.umbra(&["config", "dump"]);
    let dump = String::from_utf8_lossy(&dump.stdout).into_owned();
    assert!(dump.contains("umbra.key") && !dump.contains(secret), "{dump}");
    assert!(!agent.log().contains(secret));
}

#[test]
fn a_bad_pair_is_told_and_leaves_the_port_to_the_app() {
    let world = World::new(SERVER);
    fs::copy(world.file("other.test.key"), world.file("umbra.key")).unwrap();
    let agent = world.agent();
    assert!(
        agent.log().contains("UMB0234") && agent.log().contains("umbra.key is not the key of"),
        "{}",
        agent.log()
    );
    let checked = Command::new(binary()).arg("check").arg(agent.config_path()).output().unwrap();
    let told = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(checked.status.success() && told.contains("warning[UMB0234]"), "{told}");
    assert!(told.contains("umbra.yaml:") && told.contains("spec.capture.tls[0].privateKey"), "{told}");

    assert_eq!(output(world.curl("app.test").arg(url("app.test", "/"))), "ok");
    unread(&agent, "tls_no_certificate", 1);
    assert_eq!(world.copies.count(), 0);
}

#[test]
fn without_the_agent_client_and_app_speak_tls_with_each_other() {
    let world = World::new(SERVER);
    let mut agent = world.agent();
    let get = || assert_eq!(output(world.curl("app.test").arg(url("app.test", "/"))), "ok");
    get();
    world.copies.eventually_received(1);
    agent.kill();
    get();
    assert_eq!(world.copies.count(), 1);
}

#[test]
fn a_client_that_never_ends_its_hello_meets_the_apps_patience() {
    let world = World::new(
        "server { listen 8443 ssl; server_name app.test; client_header_timeout 1s; return 200 ok; }",
    );
    let agent = world.agent();
    let mut client = world.client.netns().connect(world.primary.address()).unwrap();
    client.write_all(&[0x16, 3, 1, 2, 0, 1]).unwrap();
    // nginx closes; nothing of ours comes before.
    let mut got = Vec::new();
    let _ = client.read_to_end(&mut got);
    assert_eq!(got, b"");
    agent.eventually("umbra_tls_handshakes_total", 0);
}
