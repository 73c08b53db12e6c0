//! `POST /api/v1/pause` and `/resume`: the kill switch, for some mirrors or for all. Copies under way end as they would;
//! a pause lasts until it is ended or the agent stops, whatever is reloaded meanwhile.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{RawQuery, State, rejection::BytesRejection},
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use serde::{Deserialize, Serialize};

use super::{View, page, problem::Problem, standing::id};
use crate::record::{Account, MirrorKey};

const HOW: &str = r#"send {"all": true} or {"mirrors": ["namespace/name rule host:port"]}"#;
/// Mirrors whose names are compared with an unknown one, and how many of them are told.
const COMPARED: usize = 2000;
const NEAR: usize = 3;

/// What to pause or resume: everything, or the mirrors that a selector names.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    #[serde(default)]
    all: bool,
    mirror: Option<String>,
    #[serde(default)]
    mirrors: Vec<String>,
}

/// What is so now, with stable names.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Switched {
    /// What was asked for.
    paused: bool,
    /// The kill switch for all is on: no mirror gets copies, whatever its own state.
    all_paused: bool,
    /// How many switches were not so before; 0 when the request changed nothing.
    changed: usize,
    /// The mirrors that the selectors name.
    mirrors: Vec<String>,
}

/// The body, or why there is none.
type Body = Result<Bytes, BytesRejection>;

pub(super) async fn pause(
    State(view): State<Arc<View>>,
    query: RawQuery,
    body: Body,
) -> Result<Response, Problem> {
    page::plain(&query)?;
    switch(view, body, true).await
}

pub(super) async fn resume(
    State(view): State<Arc<View>>,
    query: RawQuery,
    body: Body,
) -> Result<Response, Problem> {
    page::plain(&query)?;
    switch(view, body, false).await
}

async fn switch(view: Arc<View>, body: Body, pause: bool) -> Result<Response, Problem> {
    let body = body.map_err(|error| Problem::new(error.status(), error.body_text(), HOW))?;
    let Order { all, mirror, mut mirrors } = serde_json::from_slice(&body)
        .map_err(|error| Problem::bad_request(format!("the body cannot be understood: {error}"), HOW))?;
    mirrors.extend(mirror);
    if all != mirrors.is_empty() {
        return Err(Problem::bad_request("neither all nor some mirrors, or both, are named", HOW));
    }
    let named = if all {
        everything(&view, pause)
    } else {
        // Comparing names takes a moment where there are many.
        let held = Arc::clone(&view);
        let found = tokio::task::spawn_blocking(move || select(&held.accounts.all(), &mirrors));
        let accounts =
            found.await.map_err(|_| Problem::bad_request("the selector cannot be read", HOW))??;
        accounts.iter().map(|account| (turn(account, pause), Some(id(&account.key)))).collect()
    };
    let changed = named.iter().filter(|(changed, _)| *changed).count();
    let mirrors: Vec<_> = named.into_iter().filter_map(|(_, id)| id).collect();
    if changed > 0 {
        let what = if all { "all".to_owned() } else { mirrors.join(", ") };
        tracing::info!(mirrors = what, "mirroring is {} by hand", if pause { "paused" } else { "resumed" });
    }
    Ok(Json(Switched { paused: pause, all_paused: view.plane.is_paused(), changed, mirrors }).into_response())
}

/// Pausing is one switch; resuming turns back every one there is, for then everything is to run.
fn everything(view: &View, pause: bool) -> Vec<(bool, Option<String>)> {
    if pause {
        return vec![(view.plane.pause(), None)];
    }
    let resumed = view.accounts.all().into_iter().filter(|account| account.resume()).map(|_| (true, None));
    resumed.chain([(view.plane.resume(), None)]).collect()
}

fn turn(account: &Account, pause: bool) -> bool {
    if pause { account.pause() } else { account.resume() }
}

/// Every mirror that one of the selectors names; all of them must name some, or nothing is switched.
fn select(accounts: &[Arc<Account>], selectors: &[String]) -> Result<Vec<Arc<Account>>, Problem> {
    for selector in selectors {
        if !accounts.iter().any(|account| names(selector, &account.key)) {
            return Err(unknown(accounts, selector));
        }
    }
    let named = |account: &&Arc<Account>| selectors.iter().any(|selector| names(selector, &account.key));
    Ok(accounts.iter().filter(named).cloned().collect())
}

/// `namespace/name`, `namespace/name rule`, `namespace/name rule mirror`, or the mirror's `host:port/subset` alone.
fn names(selector: &str, key: &MirrorKey) -> bool {
    let selector = selector.trim();
    let after_object = || selector.strip_prefix(&*key.rule.virtual_service)?.strip_prefix(' ');
    let after_rule = || after_object()?.strip_prefix(&key.rule.rule)?.strip_prefix(' ');
    *selector == *key.mirror
        || *selector == *key.rule.virtual_service
        || after_object() == Some(&key.rule.rule)
        || after_rule() == Some(&key.mirror)
}

fn unknown(accounts: &[Arc<Account>], selector: &str) -> Problem {
    let candidates = accounts
        .iter()
        .take(COMPARED)
        .map(|account| &account.key)
        .flat_map(|key| [id(key), key.mirror.to_string(), key.rule.virtual_service.to_string()]);
    // Comparing costs the product of both lengths; no name is that long.
    let selector: String = selector.chars().take(256).collect();
    let mut near: Vec<_> =
        candidates.map(|name| (strsim::damerau_levenshtein(&name, &selector), name)).collect();
    near.sort_unstable();
    near.dedup();
    let near: Vec<_> = near.into_iter().take(NEAR).map(|(_, name)| format!("`{name}`")).collect();
    let hint = match near.is_empty() {
        true => "no rule mirrors anything".to_owned(),
        false => format!("the nearest names are {}; `umbra mirrors` lists all", near.join(", ")),
    };
    Problem::new(StatusCode::NOT_FOUND, format!("`{selector}` names no mirror"), hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::RuleKey;

    fn accounts() -> Vec<Arc<Account>> {
        let account = |virtual_service: &str, rule: &str, mirror: &str| {
            let rule = RuleKey { virtual_service: virtual_service.into(), rule: rule.into() }.into();
            Arc::new(Account::new(MirrorKey { rule, mirror: mirror.into() }))
        };
        vec![
            account("shop/cart", "all", "cart.shop:80/v2"),
            account("shop/cart", "all", "audit:80"),
            account("shop/cart", "all of it", "audit:80"),
            account("shop/cart2", "0", "cart.shop:80/v2"),
        ]
    }

    #[test]
    fn a_selector_names_one_mirror_or_all_of_a_rule_or_an_object_or_a_destination() {
        let accounts = accounts();
        for (selector, count) in [
            ("shop/cart all audit:80", 1),
            ("shop/cart all", 2),
            ("shop/cart all of it", 1),
            ("shop/cart", 3),
            (" shop/cart2 ", 1),
            ("cart.shop:80/v2", 2),
            ("audit:80", 2),
        ] {
            let found = select(&accounts, &[selector.to_owned()]).unwrap();
            assert_eq!(found.len(), count, "{selector}");
        }
        let both = ["audit:80".to_owned(), "shop/cart".to_owned()];
        assert_eq!(select(&accounts, &both).unwrap().len(), 3, "none is named twice");
    }

    #[test]
    fn an_unknown_name_switches_nothing_and_tells_what_is_near() {
        let accounts = accounts();
        for selector in ["shop", "shop/car", "all", "", " ", "cart.shop:80"] {
            assert!(select(&accounts, &["audit:80".to_owned(), selector.to_owned()]).is_err(), "{selector}");
        }
        let problem = format!("{:?}", select(&accounts, &["cart.shop:80/v3".to_owned()]).unwrap_err());
        assert!(problem.contains("the nearest names are `cart.shop:80/v2`"), "{problem}");
    }
}
