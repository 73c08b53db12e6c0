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

/// The namespaces that `exportTo` treats unlike the rest: none when the object is for all or for nobody.
pub(super) fn singled_out<'e>(
    export_to: &'e [Located<String>],
    own: &'e str,
) -> impl Iterator<Item = &'e str> {
    let public = export_to.iter().any(|e| e.value == "*");
    let named = export_to.iter().map(|e| e.value.as_str()).filter(move |name| !public && *name != "~");
    named.map(move |name| if name == "." { own } else { name })
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
