//! `exportTo`: which namespaces see an object.

use crate::config::Located;

/// How an object came to be visible to a namespace, in the order of precedence among virtual services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reach {
    /// Of the namespace itself, and kept to it.
    Private,
    /// Exported to the namespace by name.
    Named,
    /// Exported to all.
    Public,
}

/// How an object of namespace `own` is visible to `viewer`; None when it is not. Nothing written means all.
pub(super) fn reach(export_to: &[Located<String>], own: &str, viewer: &str) -> Option<Reach> {
    let exports = |name: &str| export_to.iter().any(|e| e.value == name);
    if export_to.is_empty() || exports("*") {
        Some(Reach::Public)
    } else if own == viewer {
        (exports(".") || exports(own)).then_some(Reach::Private)
    } else {
        exports(viewer).then_some(Reach::Named)
    }
}
