//! TLS against real servers, with certificates made on the spot.

use std::{fs, path::PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tempfile::TempDir;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::{
    config::{Code, Located, Location, Report},
    record::{FailReason, Outcome},
    route::{Impossible, Security, Tls},
};

/// An authority with a folder for its files.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

/// A certificate and its key, as PEM.
struct Identity {
    chain: String,
    key: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    fn identity(&self, names: &[&str]) -> Identity {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let (uris, names): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| name.contains("://"));
        let mut params = CertificateParams::new(names).unwrap();
        params
            .subject_alt_names
            .extend(uris.iter().map(|uri| SanType::URI(uri.as_str().try_into().unwrap())));
        let key = KeyPair::generate().unwrap();
        let chain = params.signed_by(&key, &self.issuer).unwrap();
        Identity { chain: chain.pem(), key: key.serialize_pem() }
    }

    fn file(&self, name: &str) -> Located<PathBuf> {
        let at = Location { file: "rules.yaml".into(), line: 7, column: 3 };
        Located { value: self.folder.path().join(name), at }
    }

    fn write(&self, identity: &Identity) -> (Located<PathBuf>, Located<PathBuf>) {
        fs::write(self.folder.path().join("cert.pem"), &identity.chain).unwrap();
        fs::write(self.folder.path().join("key.pem"), &identity.key).unwrap();
        (self.file("cert.pem"), self.file("key.pem"))
    }

    /// What trusts this authority and asks for `name`.
    fn tls(&self, name: &str) -> Tls {
        Tls {
            object: "DestinationRule default/my-app".into(),
            path: "spec.trafficPolicy.tls".into(),
            server_name: Located { value: name.into(), at: self.file("").at },
            names: Vec::new(),
            identity: None,
            authorities: Some(self.file("ca.pem")),
            revoked: None,
            unverified: false,
        }
    }

    /// A server with this identity; with `mutual` it wants a certificate of this authority from its clients.
    async fn server(&self, identity: &Identity, mutual: bool) -> SocketAddr {
        let provider = Arc::new(ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match mutual {
            false => builder.with_no_client_auth(),
            true => builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap(),
            ),
        };
        let chain = rustls::pki_types::CertificateDer::pem_slice_iter(identity.chain.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
        let config = builder.with_single_cert(chain.map(Result::unwrap).collect(), key).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        answer(stream).await;
                    }
                });
            }
        });
        address
    }
}

fn secured(address: SocketAddr, tls: Tls) -> Arc<Cluster> {
    let security = Security::Tls(Box::new(tls));
    cluster([address], Settings { security, ..Settings::default() })
}

/// What became of one copy on a connection of its own.
async fn outcome(cluster: &Arc<Cluster>) -> Outcome {
    match request(&client().pool(cluster), cluster).await {
        Ok(_) => Outcome::Completed { status: 200 },
        Err(error) => error.outcome(),
    }
}

const DONE: Outcome = Outcome::Completed { status: 200 };
const REFUSED: Outcome = Outcome::Failed(FailReason::Tls);

#[tokio::test]
async fn a_server_of_a_trusted_authority_is_spoken_to_under_its_name_alone() {
    local(async {
        let (authority, stranger) = (Authority::new(), Authority::new());
        let address = authority.server(&authority.identity(&["shop.example.com"]), false).await;
        assert_eq!(outcome(&secured(address, authority.tls("shop.example.com"))).await, DONE);
        assert_eq!(outcome(&secured(address, authority.tls("other.example.com"))).await, REFUSED);
        assert_eq!(outcome(&secured(address, stranger.tls("shop.example.com"))).await, REFUSED);
        let blind = Tls { unverified: true, ..stranger.tls("other.example.com") };
        assert_eq!(outcome(&secured(address, blind)).await, DONE);
    })
    .await;
}

#[tokio::test]
async fn subject_alt_names_take_the_place_of_the_name_that_is_asked_for() {
    local(async {
        let authority = Authority::new();
        let spiffe = "spiffe://cluster.local/ns/default/sa/shop";
        let address = authority.server(&authority.identity(&["shop.example.com", spiffe]), false).await;
        let with = |names: &[&str]| {
            let names = names.iter().map(|&name| name.to_owned()).collect();
            secured(address, Tls { names, ..authority.tls("asked.example.com") })
        };
        assert_eq!(outcome(&with(&["x.example.com", "shop.example.com"])).await, DONE);
        assert_eq!(outcome(&with(&[spiffe])).await, DONE);
        assert_eq!(
            outcome(&with(&["x.example.com", "spiffe://cluster.local/ns/default/sa/x"])).await,
            REFUSED
        );
        let names = vec!["x.example.com".to_owned()];
        let right_name_only = secured(address, Tls { names, ..authority.tls("shop.example.com") });
        assert_eq!(outcome(&right_name_only).await, REFUSED);
    })
    .await;
}

#[tokio::test]
async fn a_server_that_wants_a_certificate_gets_the_one_from_the_files() {
    local(async {
        let (authority, stranger) = (Authority::new(), Authority::new());
        let address = authority.server(&authority.identity(&["shop"]), true).await;
        assert_eq!(outcome(&secured(address, authority.tls("shop"))).await, REFUSED);
        let identity = Some(authority.write(&authority.identity(&["umbra"])));
        assert_eq!(outcome(&secured(address, Tls { identity, ..authority.tls("shop") })).await, DONE);
        let identity = Some(stranger.write(&stranger.identity(&["umbra"])));
        assert_eq!(outcome(&secured(address, Tls { identity, ..authority.tls("shop") })).await, REFUSED);
    })
    .await;
}

#[tokio::test]
async fn files_are_read_again_when_they_change() {
    local(async {
        let (authority, stranger) = (Authority::new(), Authority::new());
        let address = authority.server(&authority.identity(&["shop"]), true).await;
        let identity = Some(authority.write(&stranger.identity(&["umbra"])));
        let cluster = secured(address, Tls { identity, ..authority.tls("shop") });
        let pool = client().pool(&cluster);
        assert_eq!(request(&pool, &cluster).await.unwrap_err().outcome(), REFUSED);

        authority.write(&authority.identity(&["umbra"]));
        advance(Duration::from_secs(1)).await;
        request(&pool, &cluster).await.unwrap();

        // As Secrets and ConfigMaps change: another file under the same name. What is open stays open.
        let other = authority.folder.path().join("other.pem");
        fs::write(&other, "nothing").unwrap();
        fs::rename(&other, authority.folder.path().join("ca.pem")).unwrap();
        advance(Duration::from_secs(1)).await;
        request(&pool, &cluster).await.unwrap();
        drop(pool.lease(address).await.unwrap());
        let error = request(&pool, &cluster).await.unwrap_err();
        assert_eq!(error.outcome(), REFUSED);
        assert!(error.to_string().contains("ca.pem holds no certificate in PEM"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn where_no_tls_is_spoken_it_fails_and_the_endpoint_is_to_blame() {
    local(async {
        let authority = Authority::new();
        let plain = endpoint().await;
        let cluster = secured(plain.address, authority.tls("shop"));
        let error = request(&client().pool(&cluster), &cluster).await.unwrap_err();
        assert_eq!((error.outcome(), error.sign()), (REFUSED, Some(crate::upstream::Sign::Failed)));
    })
    .await;
}

#[tokio::test]
async fn what_is_impossible_is_not_even_tried() {
    local(async {
        let endpoint = endpoint().await;
        for why in [Impossible::NoIdentity, Impossible::NoSecrets] {
            let settings = Settings { security: Security::Impossible(why), ..Settings::default() };
            let cluster = cluster([endpoint.address], settings);
            let error = request(&client().pool(&cluster), &cluster).await.unwrap_err();
            assert_eq!((error.outcome(), error.sign()), (REFUSED, None));
        }
        assert_eq!(endpoint.accepted(), 0);
    })
    .await;
}

/// `field: what` of every fault that is found in these settings.
fn faults(tls: Tls) -> Vec<String> {
    let mut report = Report::default();
    let cluster = secured(([127, 0, 0, 1], 1).into(), tls);
    crate::upstream::check_files(&[Arc::clone(&cluster), cluster], &mut report);
    assert!(report.diagnostics.iter().all(|fault| fault.code == Code::TlsFile && fault.at.line == 7));
    report.diagnostics.into_iter().map(|fault| fault.message.replace("spec.trafficPolicy.tls.", "")).collect()
}

#[test]
fn files_that_are_of_no_use_are_named_with_their_fields() {
    let authority = Authority::new();
    let (chain, key) = authority.write(&authority.identity(&["umbra"]));
    let tls = || authority.tls("shop");
    let identity = |chain: &Located<PathBuf>, key: &Located<PathBuf>| Some((chain.clone(), key.clone()));
    assert!(faults(Tls { identity: identity(&chain, &key), ..tls() }).is_empty());

    let missing = faults(Tls { authorities: Some(authority.file("missing.pem")), ..tls() });
    assert!(missing[0].starts_with("caCertificates: ") && missing[0].contains("No such file"), "{missing:?}");
    let swapped = faults(Tls { identity: identity(&key, &chain), ..tls() });
    assert!(swapped[0].ends_with("key.pem holds no certificate in PEM"), "{swapped:?}");
    assert!(swapped[1].ends_with("cert.pem holds no private key in PEM"), "{swapped:?}");
    let folder = faults(Tls { authorities: Some(authority.file("")), ..tls() });
    assert!(folder[0].ends_with("not a file of certificates"), "{folder:?}");
    let revoked = faults(Tls { revoked: Some(chain.clone()), ..tls() });
    assert!(revoked[0].starts_with("caCrl: "), "{revoked:?}");
    let name = faults(authority.tls("*.example.com"));
    assert!(name[0].starts_with("sni: `*.example.com` is no name"), "{name:?}");

    let other = Authority::new();
    let (_, foreign) = other.write(&other.identity(&["x"]));
    let apart = faults(Tls { identity: identity(&chain, &foreign), ..tls() });
    assert!(apart[0].starts_with("clientCertificate: ") && apart.len() == 1, "{apart:?}");
}
