//! `GET /api/v1/endpoints`: where requests are taken from, and where copies go.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    extract::{RawQuery, State},
    response::Response,
};
use serde::Serialize;

use super::{
    View,
    page::{self, Wanted},
    problem::Problem,
};
use crate::{
    config::Labels,
    route::{Endpoint, Mirror, Snapshot},
};

/// One endpoint in one use, with stable names.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    /// `10.0.0.1:8080`; `*:8080` for every local address.
    endpoint: String,
    /// `captured` or `shadow`
    r#use: &'static str,
    /// The services that own a captured one, in the order of their age.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    services: Vec<String>,
    /// Of a captured one, as the first of its services has them.
    #[serde(skip_serializing_if = "Labels::is_empty")]
    labels: Labels,
    /// Istio's name of the destination a shadow belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<String>,
    /// Of a shadow: 0 for the nearest of its cluster. The next get what those of a level cannot take.
    #[serde(skip_serializing_if = "Option::is_none")]
    level: Option<u8>,
}

/// The captured ones by their place, then shadows by cluster and place.
type Key = (u8, String, usize);

pub(super) async fn get(State(view): State<Arc<View>>, query: RawQuery) -> Result<Response, Problem> {
    let wanted = Wanted::<Key>::read(&query)?;
    page::make(move || {
        let (rules, mirrors) = ((view.rules)(), view.plane.mirrors());
        let rows = captured(&rules).chain(shadows(&mirrors));
        let rows = rows.filter(|(key, _)| wanted.after.as_ref().is_none_or(|after| key > after));
        page::json(&wanted.page(rows.map(|(key, make)| (key, make()))))
    })
    .await
}

/// A row, made when it is on the page.
type Make<'s> = Box<dyn FnOnce() -> Row + 's>;

fn captured(rules: &Snapshot) -> impl Iterator<Item = (Key, Make<'_>)> {
    let mut ports: Vec<_> = rules.ports().collect();
    ports.sort_unstable_by_key(|(at, _)| *at);
    ports.into_iter().enumerate().map(|(place, (at, rules))| {
        let make = move || Row {
            endpoint: at.to_string(),
            r#use: "captured",
            services: rules.owners().iter().map(|owner| owner.service.to_string()).collect(),
            labels: rules.owners().first().map(|owner| (*owner.labels).clone()).unwrap_or_default(),
            cluster: None,
            level: None,
        };
        ((0, String::new(), place), Box::new(make) as Make<'_>)
    })
}

fn shadows(mirrors: &[Arc<Mirror>]) -> impl Iterator<Item = (Key, Make<'_>)> {
    let clusters: BTreeMap<&str, &[Endpoint]> = mirrors
        .iter()
        .map(|mirror| (mirror.cluster.name.as_str(), mirror.cluster.endpoints.as_slice()))
        .collect();
    clusters.into_iter().flat_map(|(cluster, endpoints)| {
        endpoints.iter().enumerate().map(move |(place, endpoint)| {
            let make = move || Row {
                endpoint: endpoint.to_string(),
                r#use: "shadow",
                services: Vec::new(),
                labels: Labels::NONE,
                cluster: Some(cluster.to_owned()),
                level: Some(endpoint.level),
            };
            ((1, cluster.to_owned(), place), Box::new(make) as Make<'_>)
        })
    })
}
