//! Certificates and keys in files: faults are told with their places, changes are found, keys are never shown.

use super::*;
use crate::config::{Code, Report};

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
    let knows = |chain: &CertificateDer<'static>| port.certified(std::slice::from_ref(chain)).is_some();
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
