//! What is in `deploy/` for Kubernetes: the CRDs say what the schema says, Helm finds nothing to complain of, Kubernetes' own
//! schemas and kustomize accept everything, and the examples do what they say. With a real API server, where
//! `KUBEBUILDER_ASSETS` names a folder with one, also what only it can tell; with one that authorises (`UMBRA_RBAC_ASSETS`), that the
//! agents' rights are those they need.
//!
//! What is made from something else is renewed by `UMBRA_RENEW=1 cargo test -p umbra-tests --test deploy`.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a suite fails where it stands")]

mod chart;
mod cluster;
mod container;
mod crds;
mod examples;
mod made;
mod manifests;
mod programs;
mod rights;

use std::path::PathBuf;

/// A file or folder of the repository.
fn repository(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).canonicalize().unwrap().join(path)
}
