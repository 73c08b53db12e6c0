//! `GET /api/v1/mirrors`: one item per mirror, with its books, what is dropped and why, and what went wrong last.

use std::{collections::HashMap, sync::Arc};

use axum::{
    extract::{RawQuery, State},
    response::Response,
};
use serde::Serialize;

use super::{
    View,
    page::{self, Wanted},
    problem::Problem,
    standing::Standing,
};
use crate::{
    record::{Account, Covered, MirrorKey, Outcome, Trouble},
    route::Mirror,
};

/// Endpoints shown of one mirror.
const ENDPOINTS: usize = 16;

/// One mirror, with stable names.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    #[serde(flatten)]
    standing: Standing,
    /// `namespace/name`
    virtual_service: String,
    rule: String,
    /// Of `sampling.coverage`.
    kinds: Option<KindsMet>,
    /// What is within it as a whole: `request`, `key` or `connection`. Of the last, only connections that were handed to
    /// the agent are counted here.
    drawn_for: Option<&'static str>,
    /// Over the last 5 to 10 seconds; None in the agent's first.
    per_second: Option<PerSecond>,
    endpoint_count: usize,
    /// The first of them.
    endpoints: Vec<String>,
    last_error: Option<LastError>,
}

/// Kinds of requests, as far as the table tells them apart.
#[derive(Debug, Serialize)]
struct KindsMet {
    seen: usize,
    /// Those of which at least one copy was made.
    covered: usize,
}

#[derive(Debug, Serialize)]
struct PerSecond {
    offered: f64,
    completed: f64,
}

/// The newest failure, or drop that nobody asked for.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LastError {
    /// `failed` or `dropped`
    outcome: &'static str,
    reason: &'static str,
    endpoint: Option<String>,
    message: Option<String>,
    age_seconds: f64,
}

pub(super) async fn get(State(view): State<Arc<View>>, query: RawQuery) -> Result<Response, Problem> {
    let wanted = Wanted::<[String; 3]>::read(&query)?;
    page::make(move || {
        let mirrors = view.plane.mirrors();
        let in_force: HashMap<_, _> =
            mirrors.iter().map(|mirror| (Arc::as_ptr(&mirror.account), mirror)).collect();
        let after = wanted.after.as_ref().map(|key| key.each_ref().map(String::as_str));
        let accounts = view.accounts.all();
        let later = accounts.iter().filter(|account| after.is_none_or(|after| parts(&account.key) > after));
        let row = |account: &Arc<Account>| {
            let mirror = in_force.get(&Arc::as_ptr(account)).copied();
            (parts(&account.key).map(str::to_owned), Row::new(&view, account, mirror))
        };
        page::json(&wanted.page(later.map(row)))
    })
    .await
}

/// As accounts are ordered.
fn parts(key: &MirrorKey) -> [&str; 3] {
    [&key.rule.virtual_service, &key.rule.rule, &key.mirror]
}

impl Row {
    fn new(view: &View, account: &Account, mirror: Option<&Arc<Mirror>>) -> Self {
        let key = &account.key;
        let balance = account.read();
        let rate = view.rates.of(key, &balance);
        let endpoints = mirror.map_or(&[][..], |mirror| &mirror.cluster.endpoints);
        Self {
            standing: Standing::new(view, account, mirror, &balance),
            virtual_service: key.rule.virtual_service.to_string(),
            rule: key.rule.rule.clone(),
            kinds: mirror.and_then(|mirror| {
                let Covered { seen, covered } = mirror.kinds()?.covered();
                Some(KindsMet { seen, covered })
            }),
            drawn_for: mirror.map(|mirror| mirror.drawn_for().as_str()),
            per_second: rate.map(|(offered, completed)| PerSecond { offered, completed }),
            endpoint_count: endpoints.len(),
            endpoints: endpoints.iter().take(ENDPOINTS).map(ToString::to_string).collect(),
            last_error: account.trouble().as_ref().and_then(LastError::new),
        }
    }
}

impl LastError {
    fn new(trouble: &Trouble) -> Option<Self> {
        let (outcome, reason) = match trouble.outcome {
            Outcome::Completed { .. } => return None,
            Outcome::Failed(reason) => ("failed", reason.as_str()),
            Outcome::Dropped(reason) => ("dropped", reason.as_str()),
        };
        Some(Self {
            outcome,
            reason,
            endpoint: trouble.endpoint.map(|endpoint| endpoint.to_string()),
            message: trouble.message.as_deref().map(str::to_owned),
            age_seconds: super::seconds(trouble.age),
        })
    }
}
