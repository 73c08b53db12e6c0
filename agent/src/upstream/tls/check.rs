//! Reports what is wrong with the files and names of a configuration's TLS, each at the field that names it.

use std::{collections::HashSet, path::Path, sync::Arc};

use super::{authorities, certificates, load, private_key, revocations, server_name};
use crate::{
    config::{Code, Diagnostic, Location, Report},
    route::{Cluster, Security, Tls},
};

/// Looks at the files that mirrors need, as they are at this moment.
pub fn check(clusters: &[Arc<Cluster>], report: &mut Report) {
    let mut seen = HashSet::new();
    for cluster in clusters {
        if let Security::Tls(tls) = &cluster.settings.security {
            for (field, at, what) in faults(tls) {
                if seen.insert((field, at.clone())) {
                    report.push(Diagnostic {
                        code: Code::TlsFile,
                        at: at.clone(),
                        object: Some(tls.object.clone()),
                        message: format!("{}.{field}: {what}", tls.path),
                        hint: Some(format!("until it is right, every copy to {} fails", cluster.name)),
                    });
                }
            }
        }
    }
}

fn faults(tls: &Tls) -> Vec<(&'static str, &Location, String)> {
    let mut faults = Vec::new();
    for (field, file) in tls.files() {
        let path: &Path = &file.value;
        let read = match field {
            "caCertificates" => authorities(path).map(drop),
            "caCrl" => revocations(path).map(drop),
            "privateKey" => private_key(path).map(drop),
            _ => certificates(path).map(drop),
        };
        faults.extend(read.err().map(|what| (field, &file.at, what)));
    }
    if let Err(what) = server_name(tls) {
        faults.push(("sni", &tls.server_name.at, what));
    }
    // Each by itself is right: do they belong together?
    if faults.is_empty()
        && let Err(what) = load(tls)
    {
        let place = tls.identity.as_ref().map(|(chain, _)| ("clientCertificate", &chain.at));
        let (field, at) = place.unwrap_or(("mode", &tls.server_name.at));
        faults.push((field, at, what));
    }
    faults
}
