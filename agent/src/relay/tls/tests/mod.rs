//! A client and an app with a port between them, and certificates made on the spot.

mod conversations;
mod files;

use std::{fs, time::SystemTime};

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
    config::{Located, Location},
    relay::{End, Leaving, Tap, relay, relay_after},
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
    let leaving = Leaving::default();
    match port.open(downstream, first, connect).await {
        Opened::Read { client, app } => {
            told.end = Some(relay(client, app, &mut told.seen, &leaving).await);
        }
        Opened::Untouched { client, app, said, why } => {
            told.sealed = why;
            told.end = Some(relay_after(said, client, app, &mut told.seen, &leaving).await);
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
