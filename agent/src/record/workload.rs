//! Who sends and who serves, by the names that Istio's metrics have for them.

use std::sync::Arc;

/// A workload, as far as its labels tell.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Workload {
    /// Of the Deployment or whatever keeps it running.
    pub name: Option<Box<str>>,
    pub namespace: Box<str>,
    pub app: Option<Box<str>>,
    pub version: Option<Box<str>>,
    /// Istio's canonical service, and its revision.
    pub canonical_name: Option<Box<str>>,
    pub canonical_revision: Option<Box<str>>,
}

/// A workload in the part of a service's endpoint: what a request was sent to, or a copy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serving {
    /// In full: `my-app.default.svc.cluster.local`.
    pub service: Arc<str>,
    pub namespace: Arc<str>,
    pub workload: Arc<Workload>,
}

impl Workload {
    /// `name` where the pod is known; `label` is asked for the values of its labels. The labels, and which comes first,
    /// are Istio's (`pkg/model`, `GetCanonicalServiceName`).
    pub fn new<'l>(name: Option<&str>, namespace: &str, label: impl Fn(&str) -> Option<&'l str>) -> Self {
        let first = |names: &[&str]| {
            let values = names.iter().filter_map(|name| label(name));
            values.into_iter().find(|value| !value.is_empty()).map(Box::<str>::from)
        };
        let name = first(&["service.istio.io/workload-name"]).or(name.map(Into::into));
        let canonical = ["service.istio.io/canonical-name", "app.kubernetes.io/name", "app"];
        let revision = ["service.istio.io/canonical-revision", "app.kubernetes.io/version", "version"];
        Self {
            namespace: namespace.into(),
            app: first(&["app"]),
            version: first(&["version"]),
            canonical_name: first(&canonical).or_else(|| name.clone()),
            canonical_revision: first(&revision),
            name,
        }
    }
}

impl Serving {
    /// The service's short name: `my-app`; of a host outside of the cluster all of it.
    pub fn name(&self) -> &str {
        let short = self.service.split_once('.').filter(|(_, rest)| {
            let rest = rest.strip_prefix(&*self.namespace);
            rest.is_some_and(|rest| rest.starts_with(".svc."))
        });
        short.map_or(&*self.service, |(name, _)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn istios_own_labels_come_first() {
        let labels = [("app", "cart"), ("version", "v2"), ("app.kubernetes.io/name", "shop-cart")];
        let label = |name: &str| labels.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        let workload = Workload::new(Some("cart-v2"), "shop", label);
        assert_eq!(workload.name.as_deref(), Some("cart-v2"));
        assert_eq!((workload.app.as_deref(), workload.version.as_deref()), (Some("cart"), Some("v2")));
        assert_eq!(workload.canonical_name.as_deref(), Some("shop-cart"));
        assert_eq!(workload.canonical_revision.as_deref(), Some("v2"));
    }

    #[test]
    fn only_a_service_of_the_cluster_has_a_short_name() {
        for (host, namespace, name) in [
            ("cart.shop.svc.cluster.local", "shop", "cart"),
            ("cart.shop.svc.cluster.local", "other", "cart.shop.svc.cluster.local"),
            ("api.example.com", "shop", "api.example.com"),
            ("api", "shop", "api"),
        ] {
            let served =
                Serving { service: host.into(), namespace: namespace.into(), workload: Arc::default() };
            assert_eq!(served.name(), name);
        }
    }
}
