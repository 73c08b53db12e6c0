//! One certificate with its key, read from files and found fit for use.

use std::{fmt, path::PathBuf, sync::Arc, time::SystemTime};

use rustls::{
    Error, InconsistentKeys,
    pki_types::{CertificateDer, UnixTime},
    sign::{CertifiedKey, SigningKey},
};
use webpki::{EndEntityCert, KeyUsage};

use crate::{
    config::{Code, Diagnostic, Location, Report, umbra::Certificate},
    upstream::pem,
};

/// A key that can speak for an app.
#[derive(Clone)]
pub(super) struct Pair {
    key: Arc<dyn SigningKey>,
    /// Where it was read.
    file: PathBuf,
}

/// The key stays out of every log.
impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair").field("file", &self.file).finish_non_exhaustive()
    }
}

/// Why a pair cannot be used.
#[derive(Debug)]
pub(super) struct Fault {
    field: &'static str,
    at: Location,
    pub(super) what: String,
}

impl Pair {
    pub(super) fn load(written: &Certificate) -> Result<Self, Fault> {
        let Certificate { port: _, certificate, private_key } = written;
        let of_certificate = |what| Fault { field: "certificate", at: certificate.at.clone(), what };
        let of_key = |what| Fault { field: "privateKey", at: private_key.at.clone(), what };
        let chain = pem::certificates(certificate).map_err(of_certificate)?;
        still_valid(&chain).map_err(|what| of_certificate(format!("{}: {what}", certificate.display())))?;
        let key = pem::private_key(private_key).map_err(of_key)?;
        let key = pem::provider().key_provider.load_private_key(key).map_err(|_| {
            of_key(format!("{} holds no RSA, ECDSA or Ed25519 key that is known here", private_key.display()))
        })?;
        let file = private_key.value.clone();
        match CertifiedKey::new(chain, Arc::clone(&key)).keys_match() {
            Ok(()) => Ok(Self { key, file }),
            Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
                Err(of_key(format!("{} is not the key of {}", file.display(), certificate.display())))
            }
            Err(error) => Err(of_certificate(format!("{}: {error}", certificate.display()))),
        }
    }

    pub(super) fn is_of(&self, written: &Certificate) -> bool {
        self.file == *written.private_key
    }

    /// The chain with the key, if it is its own.
    pub(super) fn certify(&self, chain: &[CertificateDer<'static>]) -> Option<CertifiedKey> {
        let certified = CertifiedKey::new(chain.to_vec(), Arc::clone(&self.key));
        certified.keys_match().is_ok().then_some(certified)
    }
}

/// Reports what is wrong with the files of AgentConfig, as they are at this moment.
pub fn check(written: &[Certificate], report: &mut Report) {
    for (index, certificate) in written.iter().enumerate() {
        if let Err(Fault { field, at, what }) = Pair::load(certificate) {
            report.push(Diagnostic {
                code: Code::AppCertificate,
                at,
                object: None,
                message: format!("spec.capture.tls[{index}].{field}: {what}"),
                hint: Some(format!(
                    "until it is right, what is encrypted with it at port {} is relayed untouched, not copied",
                    *certificate.port
                )),
            });
        }
    }
}

fn still_valid(chain: &[CertificateDer<'static>]) -> Result<(), String> {
    let Some(own) = chain.first() else { return Ok(()) };
    let own = EndEntityCert::try_from(own).map_err(|error| error.to_string())?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_err(|error| error.to_string())?;
    // Nobody is trusted here, so the answer is always an error; the dates are looked at before who signed.
    let now = UnixTime::since_unix_epoch(now);
    match own.verify_for_usage(&[], &[], &[], now, KeyUsage::server_auth(), None, None) {
        Err(webpki::Error::CertExpired { not_after, .. }) => {
            Err(format!("the certificate expired {} ago", ago(now, not_after)))
        }
        Err(webpki::Error::CertNotValidYet { .. }) => Err("the certificate is not valid yet".to_owned()),
        _ => Ok(()),
    }
}

fn ago(now: UnixTime, then: UnixTime) -> String {
    let hours = now.as_secs().saturating_sub(then.as_secs()) / 3600;
    if hours < 48 { format!("{hours} hours") } else { format!("{} days", hours / 24) }
}
