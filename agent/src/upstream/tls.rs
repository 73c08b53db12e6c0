//! TLS towards a cluster: certificates from files, read when the first connection is made and again when they change.
//! A file that is missing or wrong fails copies, nothing else, until it is right.

mod check;
mod verify;

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, SystemTime},
};

use rustls::{
    ClientConfig, RootCertStore,
    client::WebPkiServerVerifier,
    crypto::{CryptoProvider, ring},
    pki_types::{
        CertificateDer, CertificateRevocationListDer, PrivateKeyDer, ServerName,
        pem::{self, PemObject},
    },
};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

pub use self::check::check;
use self::verify::Verifier;
use crate::route::Tls;

/// How often files are looked at for changes.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Certificates are a few KiB, bundles of authorities a few hundred.
const LARGEST_FILE: u64 = 8 << 20;

pub(super) struct TlsClient {
    settings: Tls,
    loaded: Mutex<Option<Loaded>>,
}

struct Loaded {
    at: Instant,
    /// What the files were when they were read.
    stamps: Vec<Option<Stamp>>,
    connector: Result<(TlsConnector, ServerName<'static>), String>,
}

/// Changes whenever a file does, also when a symlink is turned to another one, as ConfigMaps and Secrets do.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    length: u64,
    modified: Option<SystemTime>,
}

impl TlsClient {
    pub(super) fn new(settings: Tls) -> Self {
        Self { settings, loaded: Mutex::new(None) }
    }

    /// What to make a connection with, and the name to ask for.
    ///
    /// # Errors
    /// The files or the name are of no use; the message says which and why.
    pub(super) fn connector(&self) -> Result<(TlsConnector, ServerName<'static>), String> {
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
        loaded.connector.clone()
    }
}

fn stamps(settings: &Tls) -> Vec<Option<Stamp>> {
    let stamp = |path: &Path| {
        let file = fs::metadata(path).ok()?;
        Some(Stamp { inode: file.ino(), length: file.len(), modified: file.modified().ok() })
    };
    settings.files().map(|(_, file)| stamp(&file.value)).collect()
}

fn load(settings: &Tls) -> Result<(TlsConnector, ServerName<'static>), String> {
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
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok((TlsConnector::from(Arc::new(config)), name))
}

fn server_name(settings: &Tls) -> Result<ServerName<'static>, String> {
    let name = &settings.server_name.value;
    ServerName::try_from(name.clone())
        .map_err(|_| format!("`{name}` is no name that a server can be asked for; write `sni`"))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    items(path, "certificate")
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

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let text = read(path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
        pem::Error::NoItemsFound => format!("{} holds no private key in PEM", path.display()),
        error => format!("{}: {error}", path.display()),
    })
}

fn items<T: PemObject>(path: &Path, what: &str) -> Result<Vec<T>, String> {
    let text = read(path)?;
    let items: Result<Vec<T>, _> = T::pem_slice_iter(&text).collect();
    let items = items.map_err(|error| format!("{}: {error}", path.display()))?;
    match items.is_empty() {
        true => Err(format!("{} holds no {what} in PEM", path.display())),
        false => Ok(items),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let fault = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let file = fs::metadata(path).map_err(|error| fault(&error))?;
    if !file.is_file() || file.len() > LARGEST_FILE {
        return Err(fault(&"not a file of certificates"));
    }
    fs::read(path).map_err(|error| fault(&error))
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

fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(ring::default_provider())))
}
