//! One rule of a delegate with the rule that delegates to it: Istio's `mergeHTTPRoute` and `hasConflict`.

use crate::config::{
    Located,
    istio::{HttpMatch, HttpRoute, StringMatch},
};

type Conditions = Vec<(Located<String>, Located<StringMatch>)>;

/// What the delegate says stands; where it is silent, the root speaks. The error is the block of the delegate that no
/// block of the root is compatible with.
pub(super) fn rule(root: &HttpRoute, delegate: HttpRoute) -> Result<HttpRoute, usize> {
    let matches = blocks(&root.matches, &delegate.matches)?;
    let mirrors_absent = delegate.mirrors_at.is_none();
    Ok(HttpRoute {
        at: delegate.at,
        name: name(root.name.as_deref(), delegate.name.as_deref()),
        matches,
        route: delegate.route,
        redirect: delegate.redirect,
        delegate: None,
        direct_response: delegate.direct_response.or_else(|| root.direct_response.clone()),
        rewrite: delegate.rewrite.or_else(|| root.rewrite.clone()),
        timeout: delegate.timeout.or_else(|| root.timeout.clone()),
        retries: delegate.retries.or_else(|| root.retries.clone()),
        fault: delegate.fault.or_else(|| root.fault.clone()),
        cors_policy: delegate.cors_policy.or_else(|| root.cors_policy.clone()),
        headers: delegate.headers.or_else(|| root.headers.clone()),
        // Field by field, so that a root's `mirror` and a delegate's `mirrors` can both be in force (trap 3).
        mirror: delegate.mirror.or_else(|| root.mirror.clone()),
        mirrors: if mirrors_absent { root.mirrors.clone() } else { delegate.mirrors },
        mirrors_at: delegate.mirrors_at.or_else(|| root.mirrors_at.clone()),
        mirror_percent: delegate.mirror_percent.or_else(|| root.mirror_percent.clone()),
        mirror_percentage: delegate.mirror_percentage.or_else(|| root.mirror_percentage.clone()),
    })
}

/// `root-leaf`, or the one that is there.
fn name(root: Option<&str>, leaf: Option<&str>) -> Option<String> {
    let written = |name: &&str| !name.is_empty();
    match (root.filter(written), leaf.filter(written)) {
        (Some(root), Some(leaf)) => Some(format!("{root}-{leaf}")),
        (one, other) => one.or(other).map(str::to_owned),
    }
}

/// Every pair without a conflict.
fn blocks(root: &[HttpMatch], delegate: &[HttpMatch]) -> Result<Vec<HttpMatch>, usize> {
    if root.is_empty() || delegate.is_empty() {
        return Ok([root, delegate].concat());
    }
    let mut merged = Vec::new();
    for (index, leaf) in delegate.iter().enumerate() {
        let before = merged.len();
        merged.extend(root.iter().filter(|root| !conflict(root, leaf)).map(|root| block(root, leaf)));
        if merged.len() == before {
            return Err(index);
        }
    }
    Ok(merged)
}

fn conflict(root: &HttpMatch, leaf: &HttpMatch) -> bool {
    let texts = [
        (root.uri.as_ref(), leaf.uri.as_ref()),
        (root.scheme.as_deref(), leaf.scheme.as_deref()),
        (root.method.as_ref(), leaf.method.as_ref()),
        (root.authority.as_deref(), leaf.authority.as_deref()),
    ];
    let conditions = [
        (&root.headers, &leaf.headers),
        (&root.without_headers, &leaf.without_headers),
        (&root.query_params, &leaf.query_params),
    ];
    let ports = root.port.as_ref().zip(leaf.port.as_ref());
    let gateway = |name: &Located<String>| root.gateways.contains(name);
    texts.into_iter().any(|(root, leaf)| texts_conflict(root, leaf))
        || conditions
            .iter()
            .any(|(root, leaf)| leaf.iter().any(|(key, leaf)| texts_conflict(value(root, key), Some(leaf))))
        || root.ignore_uri_case != leaf.ignore_uri_case
        || ports.is_some_and(|(root, leaf)| root != leaf)
        || root.source_namespace.is_some() && root.source_namespace != leaf.source_namespace
        || leaf
            .source_labels
            .iter()
            .any(|(key, value)| root.source_labels.get(key).is_some_and(|root| root != value))
        || !root.gateways.is_empty() && !leaf.gateways.iter().all(gateway)
}

fn value<'c>(conditions: &'c Conditions, key: &Located<String>) -> Option<&'c Located<StringMatch>> {
    conditions.iter().find(|(known, _)| known == key).map(|(_, value)| value)
}

/// The leaf's must be within the root's, as far as that can be seen. `stringMatchConflict`: presence counts as neither
/// exact nor prefix.
fn texts_conflict(root: Option<&Located<StringMatch>>, leaf: Option<&Located<StringMatch>>) -> bool {
    let (Some(root), Some(leaf)) = (root, leaf) else { return false };
    match (&root.value, &leaf.value) {
        (StringMatch::Exact(root), StringMatch::Exact(leaf)) => root != leaf,
        (StringMatch::Prefix(root), StringMatch::Prefix(leaf) | StringMatch::Exact(leaf)) => {
            !leaf.starts_with(root.as_str())
        }
        _ => true,
    }
}

fn block(root: &HttpMatch, leaf: &HttpMatch) -> HttpMatch {
    let conditions = |leaf: &Conditions, root: &Conditions| -> Conditions {
        let of_root = root.iter().filter(|(key, _)| value(leaf, key).is_none());
        of_root.chain(leaf).cloned().collect()
    };
    let labels = root.source_labels.iter().chain(leaf.source_labels.iter()).collect();
    HttpMatch {
        at: leaf.at.clone(),
        faulty: root.faulty || leaf.faulty,
        name: name(root.name.as_deref(), leaf.name.as_deref()),
        uri: leaf.uri.clone().or_else(|| root.uri.clone()),
        ignore_uri_case: leaf.ignore_uri_case,
        scheme: leaf.scheme.clone().or_else(|| root.scheme.clone()),
        method: leaf.method.clone().or_else(|| root.method.clone()),
        authority: leaf.authority.clone().or_else(|| root.authority.clone()),
        headers: conditions(&leaf.headers, &root.headers),
        without_headers: conditions(&leaf.without_headers, &root.without_headers),
        query_params: conditions(&leaf.query_params, &root.query_params),
        port: leaf.port.clone().or_else(|| root.port.clone()),
        source_labels: labels,
        source_namespace: leaf.source_namespace.clone().or_else(|| root.source_namespace.clone()),
        gateways: if leaf.gateways.is_empty() { root.gateways.clone() } else { leaf.gateways.clone() },
    }
}
