//! Names of services: how a written host becomes a full one, which wildcard it falls under, and which `Host` values
//! name a service.

use std::net::IpAddr;

use foldhash::{HashMap, HashSet};

/// What a short name ends in, with the cluster domain of every stock cluster.
const DOMAIN: &str = "svc.cluster.local";

/// Istio's resolution of a host written in an object of this namespace: a name without a dot is short, one with a dot
/// is whole already (so `reviews.prod` is not expanded). Wildcards and addresses stay.
pub(super) fn resolve(host: &str, namespace: &str) -> String {
    let host = host.to_ascii_lowercase();
    if host.contains('.') || host.starts_with('*') || host.parse::<IpAddr>().is_ok() {
        return host;
    }
    format!("{host}.{namespace}.{DOMAIN}")
}

/// Values by host, where a host may be a wildcard such as `*.example.com`.
#[derive(Debug)]
pub(super) struct HostIndex<T> {
    exact: HashMap<String, T>,
    /// By what follows the `*`.
    wildcard: HashMap<String, T>,
}

impl<T> Default for HostIndex<T> {
    fn default() -> Self {
        Self { exact: HashMap::default(), wildcard: HashMap::default() }
    }
}

impl<T: Default> HostIndex<T> {
    /// The value of exactly this host or wildcard, made when there is none.
    pub(super) fn entry(&mut self, host: &str) -> &mut T {
        match host.strip_prefix('*') {
            Some(suffix) => self.wildcard.entry(suffix.to_owned()).or_default(),
            None => self.exact.entry(host.to_owned()).or_default(),
        }
    }

    /// Every value whose host covers this one, the most specific first: itself, then wildcards by falling length.
    pub(super) fn covering<'a>(&'a self, host: &'a str) -> impl Iterator<Item = &'a T> {
        // Most indices know no wildcard, and are asked often.
        let length = if self.wildcard.is_empty() { 0 } else { host.len() };
        let suffixes = host[..length].char_indices().map(|(start, _)| &host[start..]).chain([""]);
        self.exact.get(host).into_iter().chain(suffixes.filter_map(|suffix| self.wildcard.get(suffix)))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.wildcard.is_empty()
    }
}

impl<T: PartialEq> HostIndex<Vec<T>> {
    pub(super) fn add(&mut self, host: &str, value: T) {
        self.entry(host).push(value);
    }

    /// Takes out what was added.
    pub(super) fn remove(&mut self, host: &str, value: &T) {
        let (values, host) = match host.strip_prefix('*') {
            Some(suffix) => (&mut self.wildcard, suffix),
            None => (&mut self.exact, host),
        };
        if let Some(known) = values.get_mut(host) {
            known.retain(|known| known != value);
            if known.is_empty() {
                values.remove(host);
            }
        }
    }
}

/// Hosts, some of them with a wildcard.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    exact: HashSet<String>,
    /// What follows the `*`.
    suffixes: Vec<String>,
}

impl Hosts {
    pub(super) fn add(&mut self, host: String) {
        match host.strip_prefix('*') {
            Some(suffix) => self.suffixes.push(suffix.to_owned()),
            None => drop(self.exact.insert(host)),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.suffixes.is_empty()
    }

    pub(super) fn covers(&self, host: &str) -> bool {
        self.exact.contains(host) || self.suffixes.iter().any(|suffix| host.ends_with(suffix))
    }
}

/// A service's names, ready to be compared with authorities: Istio's virtual host domains.
#[derive(Debug)]
pub(super) struct ServiceHost {
    host: String,
    /// Lengths of the leading parts that also name the service: `a`, `a.ns`, `a.ns.svc`.
    forms: [usize; 3],
    addresses: Box<[IpAddr]>,
    headless: bool,
}

impl ServiceHost {
    /// `addresses` are those of the service itself, not of its endpoints. The pods of a `headless` service have names of
    /// their own below its name.
    pub(super) fn new(host: &str, addresses: &[IpAddr], headless: bool) -> Self {
        let mut forms = [host.len(); 3];
        if let Some(qualified) = host.strip_suffix(DOMAIN).and_then(|rest| rest.strip_suffix('.'))
            && let Some((name, namespace)) = qualified.split_once('.')
            && !namespace.contains('.')
        {
            forms = [name.len(), qualified.len(), qualified.len() + ".svc".len()];
        }
        Self { host: host.to_owned(), forms, addresses: addresses.into(), headless }
    }

    /// How specifically a host (no port, no trailing dot) names this service; None when it does not. Envoy compares
    /// domains without regard to case.
    pub(super) fn names(&self, host: &str) -> Option<usize> {
        if let Some(suffix) = self.host.strip_prefix('*') {
            let start = host.len().checked_sub(suffix.len())?;
            return host.as_bytes()[start..].eq_ignore_ascii_case(suffix.as_bytes()).then_some(suffix.len());
        }
        if self.is_named(host.as_bytes()) || self.is_at(host) {
            return Some(usize::MAX);
        }
        let below = |length: &usize| {
            let start = host.len().checked_sub(*length)?;
            let name = &host.as_bytes()[start..];
            (host.as_bytes()[..start].ends_with(b".") && self.is_named(name)).then_some(*length)
        };
        self.forms.iter().chain([&self.host.len()]).filter(|_| self.headless).filter_map(below).max()
    }

    fn is_named(&self, host: &[u8]) -> bool {
        let whole = host.len() == self.host.len() || self.forms.contains(&host.len());
        whole && self.host.as_bytes()[..host.len()].eq_ignore_ascii_case(host)
    }

    fn is_at(&self, host: &str) -> bool {
        let address = || host.parse::<IpAddr>().ok();
        !self.addresses.is_empty() && address().is_some_and(|it| self.addresses.contains(&it.to_canonical()))
    }
}

/// Host and port of an authority, without brackets of IPv6 and without the root's dot.
pub(super) fn split_authority(authority: &str) -> (&str, Option<u16>) {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if host.ends_with(']') || !host.contains(':') => (host, port.parse().ok()),
        _ => (authority, None),
    };
    let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    (host.strip_suffix('.').unwrap_or(host), port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_dot_is_short_and_belongs_to_the_namespace_of_its_object() {
        assert_eq!(resolve("Reviews", "prod"), "reviews.prod.svc.cluster.local");
        for whole in ["reviews.prod", "*.example.com", "*", "10.0.0.1", "fd00::1"] {
            assert_eq!(resolve(whole, "default"), whole);
        }
    }

    #[test]
    fn the_longest_wildcard_comes_after_the_exact_host_and_before_the_others() {
        let mut index = HostIndex::<&str>::default();
        for host in ["*", "*.b.com", "*.a.b.com", "x.a.b.com"] {
            *index.entry(host) = host;
        }
        let covering: Vec<_> = index.covering("x.a.b.com").copied().collect();
        assert_eq!(covering, ["x.a.b.com", "*.a.b.com", "*.b.com", "*"]);
        assert_eq!(index.covering("b.com").copied().collect::<Vec<_>>(), ["*"]);
    }

    #[test]
    fn a_service_is_named_by_its_four_forms_and_by_nothing_else() {
        let service = ServiceHost::new("cart.shop.svc.cluster.local", &[], false);
        for host in ["cart", "cart.shop", "CART.shop.svc", "cart.shop.svc.cluster.local"] {
            assert!(service.names(host).is_some(), "{host}");
        }
        for host in ["", "car", "cart.", "cart.sho", "cart.shop.svc.cluster", "cart.shop.svc.cluster.local.x"]
        {
            assert!(service.names(host).is_none(), "{host}");
        }
        let external = ServiceHost::new("api.example.com", &[], false);
        assert!(external.names("api").is_none() && external.names("api.example.com").is_some());
    }

    #[test]
    fn the_pods_of_a_headless_service_have_names_below_its_own() {
        let service = |headless| ServiceHost::new("db.shop.svc.cluster.local", &[], headless);
        for host in ["db-0.db", "db-0.db.shop", "DB-0.db.shop.svc", "a.b.db.shop.svc.cluster.local"] {
            assert!(service(true).names(host).is_some_and(|found| found < usize::MAX), "{host}");
            assert!(service(false).names(host).is_none(), "{host}");
        }
        for host in ["xdb", ".", "db-0.db.prod", "db-0.shop"] {
            assert!(service(true).names(host).is_none(), "{host}");
        }
        assert_eq!(service(true).names("db.shop"), Some(usize::MAX));
    }

    #[test]
    fn port_brackets_and_trailing_dot_are_no_part_of_a_host() {
        assert_eq!(split_authority("cart.shop:8080"), ("cart.shop", Some(8080)));
        assert_eq!(split_authority("cart.shop."), ("cart.shop", None));
        assert_eq!(split_authority("[::1]:80"), ("::1", Some(80)));
        assert_eq!(split_authority("[::1]"), ("::1", None));
        assert_eq!(split_authority("fd00::1"), ("fd00::1", None));
    }
}
