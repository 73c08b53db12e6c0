//! `GET /api/v1/traffic`: what requests and their copies came to so far, in pages by rule, and beside each other: the
//! primary's counts of a rule, and the shadow's of each of its mirrors. All counts are cumulative since the agent was
//! started: rates and percentiles over a time are the difference of two answers, divided by that of their `time`.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{
    extract::{RawQuery, State},
    response::Response,
};
use serde::Serialize;

use super::{
    View,
    page::{self, Page, Wanted},
    problem::Problem,
    standing::{Standing, happened},
};
use crate::{
    record::{Account, Distribution, GrpcStatus, RuleAccount, RuleKey, Totals},
    route::{KnownRule, Mirror, Primary, Snapshot},
};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Traffic<'v> {
    /// Of this reading, in milliseconds since 1970.
    time: u64,
    /// The kill switch is on.
    all_paused: bool,
    #[serde(flatten)]
    page: Page<Rule<'v>>,
}

/// One rule of a mirrored service, with stable names. It may mirror nothing itself.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Rule<'v> {
    /// `namespace/name rule`
    id: String,
    virtual_service: String,
    rule: String,
    /// False for one that a reload took away, and of which a mirror is paused or has copies under way.
    in_force: bool,
    /// Hosts of the services it is for.
    services: Vec<String>,
    /// Where it sends its requests.
    primaries: &'v [Primary],
    /// Its requests, mirrored or not.
    primary: Counts,
    mirrors: Vec<Copies>,
}

/// Requests that are over.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Counts {
    requests: u64,
    /// By class, those that came: `2xx`, …, `none` for no response.
    statuses: BTreeMap<&'static str, u64>,
    /// By fault of the server: 5xx, statuses of gRPC that Envoy takes for one, no response of the app.
    failures: u64,
    request_bytes: u64,
    response_bytes: u64,
    /// Of those that became whole: `[[upperMicros, count], …]`, ascending, each cell an eighth of a power of two wide. Of a
    /// primary from its head on, of a copy from where a connection took it, both to the end of the response.
    latency_micros: Distribution,
}

/// One mirror and its copies.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Copies {
    #[serde(flatten)]
    standing: Standing,
    /// Of completed calls of gRPC, by their status.
    grpc_statuses: BTreeMap<&'static str, u64>,
    /// Those that completed, with what the shadow answered.
    shadow: Counts,
}

/// What is known of the rules in force, worked out again when they change.
#[derive(Debug, Default)]
pub struct Rules(Mutex<Option<(Weak<Snapshot>, Arc<Known>)>>);

type Known = HashMap<KnownBy, KnownRule>;

/// The address of an account.
#[derive(Debug, PartialEq, Eq, Hash)]
struct KnownBy(usize);

pub(super) async fn get(State(view): State<Arc<View>>, query: RawQuery) -> Result<Response, Problem> {
    let wanted = Wanted::<[String; 2]>::read(&query)?;
    page::make(move || {
        let known = view.known.of(&(view.rules)());
        let mirrors = view.plane.mirrors();
        let in_force: HashMap<_, _> =
            mirrors.iter().map(|mirror| (Arc::as_ptr(&mirror.account), mirror)).collect();
        let after = wanted.after.as_ref().map(|key| key.each_ref().map(String::as_str));
        let books = Books::all(&view);
        let later = books.iter().filter(|(key, _)| after.is_none_or(|after| parts(key) > after));
        let rows = later.map(|(key, books)| {
            let row = books.row(key, &known, |account| {
                Copies::new(&view, account, in_force.get(&Arc::as_ptr(account)).copied())
            });
            (parts(key).map(str::to_owned), row)
        });
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        page::json(&Traffic {
            time: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
            all_paused: view.plane.is_paused(),
            page: wanted.page(rows),
        })
    })
    .await
}

/// As accounts are ordered.
fn parts(key: &RuleKey) -> [&str; 2] {
    [&key.virtual_service, &key.rule]
}

/// Those of one rule. A mirror may outlive its rule.
#[derive(Debug, Default)]
struct Books {
    rule: Option<Arc<RuleAccount>>,
    mirrors: Vec<Arc<Account>>,
}

impl Books {
    fn all(view: &View) -> BTreeMap<Arc<RuleKey>, Self> {
        let mut all = BTreeMap::<_, Self>::new();
        for rule in view.accounts.rules() {
            let key = Arc::clone(&rule.key);
            all.entry(key).or_default().rule = Some(rule);
        }
        for account in view.accounts.all() {
            let key = Arc::clone(&account.key.rule);
            all.entry(key).or_default().mirrors.push(account);
        }
        all
    }

    fn row<'k>(&self, key: &RuleKey, known: &'k Known, copies: impl Fn(&Arc<Account>) -> Copies) -> Rule<'k> {
        let known = self.rule.as_ref().and_then(|rule| known.get(&KnownBy::new(rule)));
        Rule {
            id: format!("{} {}", key.virtual_service, key.rule),
            virtual_service: key.virtual_service.to_string(),
            rule: key.rule.clone(),
            in_force: known.is_some(),
            services: known.into_iter().flat_map(|known| &known.services).map(ToString::to_string).collect(),
            primaries: known.map_or(&[], |known| &known.primaries),
            primary: self
                .rule
                .as_ref()
                .and_then(|rule| rule.traffic())
                .map_or_else(Counts::default, Counts::of),
            mirrors: self.mirrors.iter().map(copies).collect(),
        }
    }
}

impl Copies {
    fn new(view: &View, account: &Arc<Account>, mirror: Option<&Arc<Mirror>>) -> Self {
        // The answers first: a copy that is counted among them is among the completed too.
        let shadow = account.traffic().map_or_else(Counts::default, Counts::of);
        let balance = account.read();
        Self {
            standing: Standing::new(view, account, mirror, &balance),
            grpc_statuses: happened(GrpcStatus::all().map(GrpcStatus::as_str), balance.calls),
            shadow,
        }
    }
}

impl Counts {
    fn of(totals: Totals) -> Self {
        Self {
            requests: totals.requests(),
            statuses: happened(Totals::CLASSES.into_iter(), totals.classes),
            failures: totals.failures,
            request_bytes: totals.request_bytes,
            response_bytes: totals.response_bytes,
            latency_micros: totals.latency,
        }
    }
}

impl KnownBy {
    fn new(account: &Arc<RuleAccount>) -> Self {
        Self(Arc::as_ptr(account).addr())
    }
}

impl Rules {
    fn of(&self, snapshot: &Arc<Snapshot>) -> Arc<Known> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, known)) = &*kept
            && std::ptr::eq(of.as_ptr(), Arc::as_ptr(snapshot))
        {
            return Arc::clone(known);
        }
        let rules = snapshot.known_rules().into_iter();
        let known: Known = rules.map(|rule| (KnownBy::new(&rule.account), rule)).collect();
        let known = Arc::new(known);
        *kept = Some((Arc::downgrade(snapshot), Arc::clone(&known)));
        known
    }
}
