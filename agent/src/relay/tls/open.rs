//! How one encrypted connection is opened, so that its client cannot tell: the app is asked first, with the client's own
//! wishes, and the client is answered with what the app chose: its certificate, its protocol. Until the client is
//! answered anything can be taken back, and the client's bytes given to the app as they came.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use rustls::{
    ClientConfig, ClientConnection, ServerConfig, ServerConnection,
    client::Resumption,
    pki_types::{IpAddr, ServerName},
    server::{Accepted, ClientHello, NoServerSessionStorage},
    sign::{CertifiedKey, SingleCertAndKey},
};
use tokio::{net::TcpStream, time::timeout};

use super::{
    Port, Sealed, Secured,
    hello::{self, Hello},
    shown::{Asked, Shown},
};
use crate::{
    capture::ConnectError,
    relay::{Side, reset},
    upstream::pem,
};

/// An app is in the same namespace: its part takes milliseconds.
const APP_PATIENCE: Duration = Duration::from_secs(5);
/// Servers give their clients about as much.
const CLIENT_PATIENCE: Duration = Duration::from_secs(60);

/// What became of a connection.
#[derive(Debug)]
pub enum Opened {
    /// TLS ends here on both sides.
    Read { client: Secured, app: Secured },
    /// As if nobody had looked. `said` is what the client has sent; where it is TLS, `why` says why it stays closed.
    Untouched { client: TcpStream, app: TcpStream, said: Bytes, why: Option<Sealed> },
    /// The app was asked, and then could not be reached for the client.
    Refused { client: TcpStream, error: ConnectError },
    /// The client is gone, or did not take the app's certificate.
    Over,
}

/// What the app chose for the client.
struct Choice {
    app: Secured,
    certified: CertifiedKey,
    protocol: Option<Vec<u8>>,
}

impl Port {
    /// `again` makes another connection to the app.
    pub async fn open(
        &self,
        client: TcpStream,
        app: TcpStream,
        again: impl AsyncFn() -> Result<TcpStream, ConnectError>,
    ) -> Opened {
        if let Some(why) = self.stays_sealed() {
            return Opened::Untouched { client, app, said: Bytes::new(), why: Some(why) };
        }
        let (accepted, said) = match hello::read(&client, &app).await {
            Hello::Tls(accepted, said) => (accepted, said),
            Hello::Reset => {
                reset(&app);
                return Opened::Over;
            }
            Hello::Other(said) => {
                return Opened::Untouched { client, app, said: said.into(), why: None };
            }
            Hello::Strange(said) => {
                let why = Some(Sealed::ClientHello);
                return Opened::Untouched { client, app, said: said.into(), why };
            }
        };
        let answered = match self.ask(app, &accepted.client_hello()).await {
            Ok(choice) => self.answer(*accepted, choice),
            Err(why) => Err(why),
        };
        let why = match answered {
            Ok((connection, app)) => return self.complete(Secured::new(client, connection), app).await,
            Err(why) => why,
        };
        self.remember(why);
        match again().await {
            Ok(app) => Opened::Untouched { client, app, said: said.into(), why: Some(why) },
            Err(error) => Opened::Refused { client, error },
        }
    }

    /// Speaks to the app as the client would.
    async fn ask(&self, app: TcpStream, hello: &ClientHello<'_>) -> Result<Choice, Sealed> {
        let provider = pem::provider();
        let Some(shown) =
            Shown::for_client(provider.signature_verification_algorithms, hello.signature_schemes())
        else {
            return Err(cutting(&app, Sealed::ClientHello));
        };
        let (shown, asked) = (Arc::new(shown), Arc::new(Asked::default()));
        let Ok(builder) = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()
        else {
            return Err(cutting(&app, Sealed::App));
        };
        let mut config = builder
            .dangerous()
            .with_custom_certificate_verifier(shown.clone())
            .with_client_cert_resolver(asked.clone());
        config.alpn_protocols = hello.alpn().into_iter().flatten().map(<[u8]>::to_vec).collect();
        // Each connection shows anew who the app is and what it asks for.
        config.resumption = Resumption::disabled();
        let name = hello.server_name().and_then(|name| ServerName::try_from(name.to_owned()).ok());
        config.enable_sni = name.is_some();
        let name = name.unwrap_or(ServerName::IpAddress(IpAddr::V4([127, 0, 0, 1].into())));
        let Ok(connection) = ClientConnection::new(Arc::new(config), name) else {
            return Err(cutting(&app, Sealed::App));
        };
        let app = Secured::new(app, connection);
        let shaken = timeout(APP_PATIENCE, app.shake_hands()).await;
        if asked.was() {
            return Err(cutting(app.socket(), Sealed::ClientCertificate));
        }
        if !matches!(shaken, Ok(Ok(()))) {
            return Err(cutting(app.socket(), Sealed::App));
        }
        let chain = app.agreed(|tls| tls.peer_certificates().map(<[_]>::to_vec)).unwrap_or_default();
        let protocol = app.agreed(|tls| tls.alpn_protocol().map(<[u8]>::to_vec));
        let certified = self.certified(&chain).map(|mut certified| {
            certified.ocsp = shown.ocsp.get().cloned();
            certified
        });
        match certified {
            Some(certified) => Ok(Choice { app, certified, protocol }),
            None => Err(cutting(app.socket(), Sealed::OtherCertificate)),
        }
    }

    /// Makes the answer to the client; nothing of it is sent yet.
    fn answer(&self, accepted: Accepted, choice: Choice) -> Result<(ServerConnection, Secured), Sealed> {
        let Choice { app, certified, protocol } = choice;
        let builder =
            ServerConfig::builder_with_provider(pem::provider()).with_safe_default_protocol_versions();
        let Ok(builder) = builder else {
            return Err(cutting(app.socket(), Sealed::ClientHello));
        };
        let mut config =
            builder.with_no_client_auth().with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        config.alpn_protocols = protocol.into_iter().collect();
        config.session_storage = Arc::new(NoServerSessionStorage {});
        if let Some(ticketer) = &self.ticketer {
            config.ticketer = Arc::clone(ticketer);
        }
        match accepted.into_connection(Arc::new(config)) {
            Ok(connection) => Ok((connection, app)),
            Err(_) => Err(cutting(app.socket(), Sealed::ClientHello)),
        }
    }

    async fn complete(&self, client: Secured, app: Secured) -> Opened {
        let shaken = timeout(CLIENT_PATIENCE, client.shake_hands()).await;
        let completed = matches!(shaken, Ok(Ok(())));
        self.count(completed);
        if completed {
            return Opened::Read { client, app };
        }
        reset(app.socket());
        Opened::Over
    }
}

/// Cuts the connection that asked: the client's own port is needed for the one that takes its place.
fn cutting(app: &TcpStream, why: Sealed) -> Sealed {
    reset(app);
    why
}
