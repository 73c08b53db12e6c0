//! TLS towards a cluster: certificates from files, read when the first connection is made and again when they change.
//! A file that is missing or wrong fails copies, nothing else, until it is right.

mod check;
pub mod pem;
mod verify;

use std::{
    path::Path,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use http::Version;
use rustls::{
    ClientConfig, RootCertStore,
    client::WebPkiServerVerifier,
    pki_types::{CertificateRevocationListDer, ServerName},
};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

pub use self::check::check;
use self::{
    pem::{Stamp, certificates, items, private_key, provider},
    verify::Verifier,
};
use crate::route::Tls;

/// How often files are looked at for changes.
const LOOK_EVERY: Duration = Duration::from_secs(1);

pub(super) struct TlsClient {
    settings: Tls,
    loaded: Mutex<Option<Loaded>>,
}

struct Loaded {
    at: Instant,
    /// What the files were when they were read.
    stamps: Vec<Option<Stamp>>,
    connector: Result<Connector, String>,
}

#[derive(Clone)]
struct Connector {
    http1: TlsConnector,
    http2: TlsConnector,
    name: ServerName<'static>,
}

impl TlsClient {
    pub(super) fn new(settings: Tls) -> Self {
        Self { settings, loaded: Mutex::new(None) }
    }

    /// What to make a connection for a version of HTTP with, and the name to ask for.
    ///
    /// # Errors
    /// The files or the name are of no use; the message says which and why.
    pub(super) fn connector(&self, version: Version) -> Result<(TlsConnector, ServerName<'static>), String> {
        let now = Instant::now();
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let known = loaded.take_if(|known| {
            if now.duration_since(known.at) >= LOOK_EVERY {
                known.at = now;
                return known.stamps != stamps(&self.settings);
            }
            false
        });
        if known.is_some() {
            tracing::info!(rule = %self.settings.object, "certificates have changed and are read again");
        }
        let loaded = loaded.get_or_insert_with(|| Loaded {
            at: now,
            stamps: stamps(&self.settings),
            connector: load(&self.settings),
        });
        let Connector { http1, http2, name } = loaded.connector.as_ref().map_err(String::clone)?;
        let connector = if version == Version::HTTP_2 { http2 } else { http1 };
        Ok((connector.clone(), name.clone()))
    }
}

fn stamps(settings: &Tls) -> Vec<Option<Stamp>> {
    settings.files().map(|(_, file)| Stamp::of(&file.value)).collect()
}

fn load(settings: &Tls) -> Result<Connector, String> {
    let provider = provider();
    let name = server_name(settings)?;
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let verifier = match settings.unverified {
        true => Verifier::unverified(&provider),
        false => {
            let roots = match &settings.authorities {
                Some(file) => Arc::new(authorities(file)?),
                None => system_authorities()?,
            };
            let mut chain = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider));
            if let Some(file) = &settings.revoked {
                chain = chain.with_crls(revocations(file)?);
            }
            let chain = chain.build().map_err(|error| error.to_string())?;
            Verifier::new(&provider, chain, settings.names.clone())
        }
    };
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match &settings.identity {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => builder
            .with_client_auth_cert(certificates(chain)?, private_key(key)?)
            .map_err(|error| format!("{} and {}: {error}", chain.display(), key.display()))?,
    };
    let mut http2 = config.clone();
    // A peer that has only the other one refuses; one without ALPN is taken at the cluster's word.
    http2.alpn_protocols = vec![b"h2".to_vec()];
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Connector { http1: Arc::new(config).into(), http2: Arc::new(http2).into(), name })
}

fn server_name(settings: &Tls) -> Result<ServerName<'static>, String> {
    let name = &settings.server_name.value;
    ServerName::try_from(name.clone())
        .map_err(|_| format!("`{name}` is no name that a server can be asked for; write `sni`"))
}

fn authorities(path: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(roots)
}

fn revocations(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, String> {
    items(path, "revocation list (X509 CRL)")
}

/// The system's own list, read once: it changes with the system's packages.
fn system_authorities() -> Result<Arc<RootCertStore>, String> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let roots = ROOTS.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Arc::new(roots)
    });
    match roots.is_empty() {
        true => Err("this system has no list of authorities: write `caCertificates`".to_owned()),
        false => Ok(Arc::clone(roots)),
    }
}
