use std::{fs, io::ErrorKind, time::SystemTime};

use rcgen::{CertificateParams, KeyPair};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use super::*;
use crate::{
    capture::ConnectError,
    config::{Code, Located, Location, Report},
    relay::{End, Tap, relay, relay_after, reset},
    upstream::pem,
};

/// A certificate of `app.test` with its key, and files of them.
struct Identity {
    folder: TempDir,
    chain: CertificateDer<'static>,
    key: String,
}

impl Identity {
    fn new() -> Self {
        Self::valid_until(None)
    }

    fn valid_until(end: Option<SystemTime>) -> Self {
        let mut params = CertificateParams::new(vec!["app.test".to_owned()]).unwrap();
        if let Some(end) = end {
            params.not_after = end.into();
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("tls.crt"), certificate.pem()).unwrap();
        fs::write(folder.path().join("tls.key"), key.serialize_pem()).unwrap();
        Self { folder, chain: certificate.der().clone(), key: key.serialize_pem() }
    }

    fn written(&self) -> Certificate {
        let file = |name: &str, column| Located { value: self.folder.path().join(name), at: at(column) };
        Certificate {
            port: Located { value: 8443, at: at(1) },
            certificate: file("tls.crt", 2),
            private_key: file("tls.key", 3),
        }
    }

    /// Another certificate with another key, in the same files.
    fn replace_by(&self, other: &Self) {
        for name in ["tls.crt", "tls.key"] {
            fs::copy(other.folder.path().join(name), self.folder.path().join(name)).unwrap();
        }
    }

    fn server(&self, alpn: &[&str], client: Option<&Self>) -> ServerConfig {
        let builder = ServerConfig::builder_with_provider(pem::provider())
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match client {
            None => builder.with_no_client_auth(),
            Some(client) => builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(client.roots().into(), pem::provider())
                    .build()
                    .unwrap(),
            ),
        };
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap();
        let mut config = builder.with_single_cert(vec![self.chain.clone()], key).unwrap();
        config.alpn_protocols = protocols(alpn);
        config
    }

    /// A client that believes this certificate and no other.
    fn client(&self, alpn: &[&str], own: Option<&Self>) -> ClientConfig {
        let builder = ClientConfig::builder_with_provider(pem::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots());
        let mut config = match own {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
                builder.with_client_auth_cert(vec![own.chain.clone()], key).unwrap()
            }
        };
        config.alpn_protocols = protocols(alpn);
        config
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.chain.clone()).unwrap();
        roots
    }
}

fn at(column: u32) -> Location {
    Location { file: "agent.yaml".into(), line: 7, column }
}

fn protocols(names: &[&str]) -> Vec<Vec<u8>> {
    names.iter().map(|name| name.as_bytes().to_vec()).collect()
}

#[derive(Default)]
struct Seen {
    requests: Vec<u8>,
    responses: Vec<u8>,
    ended: [bool; 2],
}

impl Tap for Seen {
    fn request(&mut self, chunk: &bytes::Bytes) {
        self.requests.extend_from_slice(chunk);
    }
    fn response(&mut self, chunk: &bytes::Bytes) {
        self.responses.extend_from_slice(chunk);
    }
    fn request_end(&mut self) {
        self.ended[0] = true;
    }
    fn response_end(&mut self) {
        self.ended[1] = true;
    }
}

/// What became of a connection: why it stayed sealed, how it ended, what was seen of it.
struct Told {
    sealed: Option<Sealed>,
    end: Option<End>,
    seen: Seen,
}

/// One connection through the port, to an app that listens here.
async fn through(port: &Port, downstream: TcpStream, app: &TcpListener) -> Told {
    let address = app.local_addr().unwrap();
    let connect = async || TcpStream::connect(address).await.map_err(ConnectError::Unreachable);
    let mut told = Told { sealed: None, end: None, seen: Seen::default() };
    let first = connect().await.unwrap();
    match port.open(downstream, first, connect).await {
        Opened::Read { client, app } => told.end = Some(relay(client, app, &mut told.seen).await),
        Opened::Untouched { client, app, said, why } => {
            told.sealed = why;
            told.end = Some(relay_after(said, client, app, &mut told.seen).await);
        }
        Opened::Refused { error, .. } => panic!("{error}"),
        Opened::Over => {}
    }
    told
}

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (near, far) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    (near.unwrap(), far.unwrap().0)
}

type AtClient = client::TlsStream<TcpStream>;
type AtApp = server::TlsStream<TcpStream>;

/// Runs a client and an app with the port between them. Connections with which the app does not agree are passed over.
async fn conversation<C, A>(
    port: &Port,
    (client, app): (ClientConfig, ServerConfig),
    at_client: impl FnOnce(std::io::Result<AtClient>) -> C,
    at_app: impl FnOnce(AtApp) -> A,
) -> (Told, C::Output, A::Output)
where
    C: Future,
    A: Future,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (near, far) = pair().await;
    let acceptor = TlsAcceptor::from(Arc::new(app));
    let connector = TlsConnector::from(Arc::new(client));
    let name = ServerName::try_from("app.test").unwrap();
    tokio::join!(
        through(port, far, &listener),
        async { at_client(connector.connect(name, near).await).await },
        async {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                if let Ok(stream) = acceptor.accept(stream).await {
                    // One that asked in the client's stead goes without a word.
                    let mut peeked = [0; 1];
                    if stream.get_ref().0.peek(&mut peeked).await.is_ok() {
                        return at_app(stream).await;
                    }
                }
            }
        },
    )
}

async fn asks(stream: std::io::Result<AtClient>) -> (Vec<u8>, Option<Vec<u8>>) {
    let mut stream = stream.unwrap();
    stream.write_all(b"question").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    (answer, stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec))
}

async fn answers(mut stream: AtApp) -> Vec<u8> {
    let mut question = Vec::new();
    stream.read_to_end(&mut question).await.unwrap();
    stream.write_all(b"answer").await.unwrap();
    stream.shutdown().await.unwrap();
    question
}

fn port(identities: &[&Identity]) -> Port {
    Port::load(identities.iter().map(|it| it.written()).collect(), Ticketer::new().ok())
}

#[tokio::test]
async fn what_is_opened_is_read_and_ends_as_its_sides_end_it() {
    let (identity, other) = (Identity::new(), Identity::new());
    let port = port(&[&other, &identity]);
    for (offered, had, expected) in [
        (&["h2", "http/1.1"][..], &["http/1.1"][..], Some(&b"http/1.1"[..])),
        (&["h2", "http/1.1"], &["h2", "http/1.1"], Some(b"h2")),
        (&["http/1.1"], &[], None),
        (&[], &["h2"], None),
    ] {
        let peers = (identity.client(offered, None), identity.server(had, None));
        let (told, (answer, protocol), question) = conversation(&port, peers, asks, answers).await;
        assert_eq!((&*question, &*answer), (&b"question"[..], &b"answer"[..]));
        assert_eq!(protocol.as_deref(), expected, "what the app itself would choose");
        assert_eq!((told.sealed, told.end), (None, Some(End::Closed)));
        assert_eq!((&*told.seen.requests, &*told.seen.responses), (&b"question"[..], &b"answer"[..]));
        assert_eq!(told.seen.ended, [true, true]);
    }
}

#[tokio::test]
async fn an_end_without_a_last_word_stays_one() {
    let identity = Identity::new();
    let peers = (identity.client(&[], None), identity.server(&[], None));
    let cut = async |stream: std::io::Result<AtClient>| {
        let mut stream = stream.unwrap();
        stream.write_all(b"half a").await.unwrap();
        stream.into_inner().0.shutdown().await.unwrap();
    };
    let app = async |mut stream: AtApp| {
        let mut question = Vec::new();
        let error = stream.read_to_end(&mut question).await.unwrap_err();
        (question, error.kind())
    };
    let (_, (), (question, error)) = conversation(&port(&[&identity]), peers, cut, app).await;
    assert_eq!((&*question, error), (&b"half a"[..], ErrorKind::UnexpectedEof));
}

#[tokio::test]
async fn a_reset_stays_a_reset() {
    let identity = Identity::new();
    let peers = (identity.client(&[], None), identity.server(&[], None));
    let resets = async |stream: std::io::Result<AtClient>| {
        let mut stream = stream.unwrap();
        stream.write_all(b"x").await.unwrap();
        stream.read_exact(&mut [0; 1]).await.unwrap();
        reset(stream.get_ref().0);
    };
    let app = async |mut stream: AtApp| {
        stream.read_exact(&mut [0; 1]).await.unwrap();
        stream.write_all(b"y").await.unwrap();
        stream.read(&mut [0; 1]).await.unwrap_err().kind()
    };
    let (told, (), error) = conversation(&port(&[&identity]), peers, resets, app).await;
    assert_eq!((told.end, error), (Some(End::Reset), ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn large_bodies_arrive_whole_both_ways_at_once() {
    let identity = Identity::new();
    let body: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(3_000_001).collect();
    let peers = (identity.client(&[], None), identity.server(&[], None));
    let client = async |stream: std::io::Result<AtClient>| both_ways(stream.unwrap(), &body).await;
    let app = async |stream: AtApp| both_ways(stream, &body).await;
    let (told, at_client, at_app) = conversation(&port(&[&identity]), peers, client, app).await;
    assert!(at_client == body && at_app == body);
    assert!(told.seen.requests == body && told.seen.responses == body);
}

async fn both_ways(stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite, body: &[u8]) -> Vec<u8> {
    let (mut read, mut write) = tokio::io::split(stream);
    let mut got = vec![0; body.len()];
    let (wrote, got_all) = tokio::join!(
        async {
            write.write_all(body).await?;
            write.flush().await
        },
        read.read_exact(&mut got),
    );
    wrote.unwrap();
    got_all.unwrap();
    got
}

#[tokio::test]
async fn an_app_with_another_certificate_speaks_for_itself() {
    let (identity, other) = (Identity::new(), Identity::new());
    let peers = (identity.client(&["h2"], None), identity.server(&["h2"], None));
    let (told, (answer, _), _) = conversation(&port(&[&other]), peers, asks, answers).await;
    assert_eq!((&*answer, told.sealed), (&b"answer"[..], Some(Sealed::OtherCertificate)));
    assert_ne!(told.seen.requests, b"question");
}

#[tokio::test]
async fn an_app_that_asks_for_certificates_gets_the_clients_own() {
    let (identity, user) = (Identity::new(), Identity::new());
    let port = port(&[&identity]);
    for _ in 0..2 {
        let peers = (identity.client(&[], Some(&user)), identity.server(&[], Some(&user)));
        let app = async |stream: AtApp| {
            let shown = stream.get_ref().1.peer_certificates().unwrap().to_vec();
            (answers(stream).await, shown)
        };
        let (told, (answer, _), (_, shown)) = conversation(&port, peers, asks, app).await;
        assert_eq!((&*answer, told.sealed), (&b"answer"[..], Some(Sealed::ClientCertificate)));
        assert_eq!(shown, [user.chain.clone()]);
    }
    assert_eq!(port.stays_sealed(), Some(Sealed::ClientCertificate));
}

#[tokio::test]
async fn a_client_that_comes_again_needs_no_new_proof() {
    let identity = Identity::new();
    let port = port(&[&identity]);
    let client = identity.client(&[], None);
    for expected in [rustls::HandshakeKind::Full, rustls::HandshakeKind::Resumed] {
        let peers = (client.clone(), identity.server(&[], None));
        let asks = async |stream: std::io::Result<AtClient>| {
            let mut stream = stream.unwrap();
            stream.write_all(b"question").await.unwrap();
            stream.shutdown().await.unwrap();
            stream.read_to_end(&mut Vec::new()).await.unwrap();
            stream.get_ref().1.handshake_kind()
        };
        let (_, kind, _) = conversation(&port, peers, asks, answers).await;
        assert_eq!(kind, Some(expected));
    }
}

#[tokio::test]
async fn what_is_no_tls_is_relayed_as_it_came() {
    let port = port(&[&Identity::new()]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    for (said, answer) in
        [("GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400"), ("", "220 hello"), ("\x16\x03\x01\0\x05junk!", "?")]
    {
        let (mut near, far) = pair().await;
        let client = async {
            near.write_all(said.as_bytes()).await.unwrap();
            let mut got = vec![0; answer.len()];
            near.read_exact(&mut got).await.unwrap();
            drop(near);
            String::from_utf8(got).unwrap()
        };
        let app = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut got = vec![0; said.len()];
            stream.read_exact(&mut got).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            got
        };
        let (told, got, at_app) = tokio::join!(through(&port, far, &listener), client, app);
        assert_eq!((got.as_str(), at_app.as_slice()), (answer, said.as_bytes()));
        assert_eq!(told.sealed, said.starts_with('\x16').then_some(Sealed::ClientHello));
    }
}

#[test]
fn files_that_cannot_be_used_are_named_with_their_places() {
    let (good, other) = (Identity::new(), Identity::new());
    let faults = |written: Certificate| {
        let mut report = Report::default();
        check(&[written], &mut report);
        assert!(
            report.diagnostics.iter().all(|fault| fault.code == Code::AppCertificate && fault.at.line == 7)
        );
        report.diagnostics.into_iter().map(|fault| (fault.at.column, fault.message)).collect::<Vec<_>>()
    };
    assert!(faults(good.written()).is_empty());

    let (foreign, mixed) = (other.written().private_key, good.written());
    let apart = faults(Certificate { private_key: foreign, ..mixed });
    assert!(apart[0].0 == 3 && apart[0].1.contains("is not the key of"), "{apart:?}");

    let expired = Identity::valid_until(Some(SystemTime::now() - Duration::from_secs(5 * 3600)));
    let expired = faults(expired.written());
    assert!(
        expired[0].0 == 2 && expired[0].1.ends_with("tls.crt: the certificate expired 5 hours ago"),
        "{expired:?}"
    );

    fs::write(&*other.written().private_key, "-----BEGIN PRIVATE KEY-----SECRET\n").unwrap();
    let torn = faults(other.written());
    assert!(torn[0].1.ends_with("tls.key is not well-formed PEM"), "no word of what it holds: {torn:?}");
    fs::remove_file(&*other.written().certificate).unwrap();
    let missing = faults(other.written());
    assert!(missing[0].1.contains("tls.crt: No such file"), "{missing:?}");
    assert_eq!(port(&[&other]).stays_sealed(), Some(Sealed::NoCertificate));
}

#[test]
fn files_are_read_again_and_the_last_good_pair_stays() {
    let (before, after) = (Identity::new(), Identity::new());
    let (old, new) = (before.chain.clone(), after.chain.clone());
    let certificates = Certificates::load(&[before.written()]);
    let port = certificates.at(8443).unwrap();
    let knows = |chain: &CertificateDer<'static>| port.certified(vec![chain.clone()]).is_some();
    certificates.reload();
    assert_eq!((knows(&old), knows(&new), certificates.reloads()), (true, false, [0, 0]));

    // Half of a new pair.
    fs::write(&*before.written().certificate, "").unwrap();
    certificates.reload();
    assert_eq!((knows(&old), knows(&new), certificates.reloads()), (true, false, [0, 1]));

    before.replace_by(&after);
    certificates.reload();
    assert_eq!((knows(&old), knows(&new), certificates.reloads()), (false, true, [1, 1]));
    assert_eq!(certificates.standing().collect::<Vec<_>>(), [(8443, 1, [0, 0])]);
}

#[test]
fn a_key_is_never_shown() {
    let identity = Identity::new();
    let shown = format!("{:?}", Certificates::load(&[identity.written()]));
    let secret: String = identity.key.lines().skip(1).take(1).collect();
    assert!(shown.contains("tls.key") && !shown.contains(&secret), "{shown}");
}
