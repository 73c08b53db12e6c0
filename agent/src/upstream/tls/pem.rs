//! Certificates and keys in files: read, and read again when they have changed. What is wrong is said with the file's
//! name, never with what it holds.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::{Arc, OnceLock},
    time::SystemTime,
};

use rustls::{
    crypto::{CryptoProvider, ring},
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
};

/// Certificates are a few KiB, bundles of authorities a few hundred.
const LARGEST_FILE: u64 = 8 << 20;

/// Changes whenever a file does, also when a symlink is turned to another one, as ConfigMaps and Secrets do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    inode: u64,
    length: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
    /// None where there is no such file.
    pub fn of(path: &Path) -> Option<Self> {
        let file = fs::metadata(path).ok()?;
        Some(Self { inode: file.ino(), length: file.len(), modified: file.modified().ok() })
    }
}

/// Every certificate of a file, one at least.
///
/// # Errors
/// What is wrong with which file.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    items(path, "certificate")
}

/// The first private key of a file.
///
/// # Errors
/// What is wrong with which file.
pub fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let text = read(path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
        pem::Error::NoItemsFound => format!("{} holds no private key in PEM", path.display()),
        // The library's own words may quote the file, and with it the key.
        _ => format!("{} is not well-formed PEM", path.display()),
    })
}

pub(super) fn items<T: PemObject>(path: &Path, what: &str) -> Result<Vec<T>, String> {
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

/// The algorithms of this process.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(ring::default_provider())))
}
