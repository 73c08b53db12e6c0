//! What the app shows of itself in its handshake, whoever it is: whether it may be spoken for is decided afterwards, by
//! the key of what it showed.

use std::sync::{
    OnceLock,
    atomic::{AtomicBool, Ordering},
};

use rustls::{
    DigitallySignedStruct, Error, SignatureScheme,
    client::{
        ResolvesClientCert,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    sign::CertifiedKey,
};

/// Believes any certificate of whom has its key, and keeps the proof of its not being revoked.
#[derive(Debug)]
pub(super) struct Shown {
    algorithms: WebPkiSupportedAlgorithms,
    /// What the client takes: the app chooses for it.
    schemes: Vec<SignatureScheme>,
    pub(super) ocsp: OnceLock<Vec<u8>>,
}

impl Shown {
    /// None when the client takes nothing that could be compared here.
    pub(super) fn for_client(
        algorithms: WebPkiSupportedAlgorithms,
        schemes: &[SignatureScheme],
    ) -> Option<Self> {
        let known = algorithms.supported_schemes();
        let schemes: Vec<_> = schemes.iter().copied().filter(|scheme| known.contains(scheme)).collect();
        (!schemes.is_empty()).then(|| Self { algorithms, schemes, ocsp: OnceLock::new() })
    }
}

impl ServerCertVerifier for Shown {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if !ocsp.is_empty() {
            let _ = self.ocsp.set(ocsp.to_vec());
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

/// Has no certificate for the app, and notices that it asks for one.
#[derive(Debug, Default)]
pub(super) struct Asked(AtomicBool);

impl Asked {
    pub(super) fn was(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl ResolvesClientCert for Asked {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<std::sync::Arc<CertifiedKey>> {
        self.0.store(true, Ordering::Relaxed);
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}
