//! How objects of the cluster are named: by kind, namespace and name; and as parts of a configuration, by the file they would be
//! in: `kubernetes/VirtualService/shop/cart`.

use crate::source::kube::kinds::{KINDS, PODS};

/// What the name of every part begins with.
const ROOT: &str = "kubernetes";

/// Namespace and name.
pub(in crate::source::kube) type Name = (Box<str>, Box<str>);

/// Which objects: those of a kind, or the labels of pods of other nodes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::source::kube) enum Target {
    /// Its place among `KINDS`.
    Kind(usize),
    Labels(Selector),
}

/// Pods of a namespace with these labels, as the API server is asked for them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::source::kube) struct Selector {
    pub(in crate::source::kube) namespace: String,
    /// `app=cart,tier=front`
    pub(in crate::source::kube) labels: String,
}

impl Target {
    pub(in crate::source::kube) fn kind(&self) -> usize {
        match self {
            Self::Kind(kind) => *kind,
            Self::Labels(_) => PODS,
        }
    }
}

/// The file that an object would be in.
pub(super) fn file(kind: usize, (namespace, name): &Name) -> String {
    format!("{ROOT}/{}/{namespace}/{name}", KINDS[kind].name)
}

/// The object that would be in this file.
pub(in crate::source::kube) fn place(file: &str) -> Option<(usize, Name)> {
    let mut words = file.split('/');
    let (root, kind) = (words.next()?, words.next()?);
    let kind = KINDS.iter().position(|known| root == ROOT && known.name == kind)?;
    let name = (words.next()?.into(), words.next()?.into());
    words.next().is_none().then_some((kind, name))
}

/// Whether a place lies in an object of the cluster.
pub fn is_of_cluster(file: &str) -> bool {
    place(file).is_some()
}

/// For a person: `VirtualService shop/cart`.
pub(in crate::source::kube) fn object_name(kind: usize, (namespace, name): &Name) -> String {
    format!("{} {namespace}/{name}", KINDS[kind].name)
}
