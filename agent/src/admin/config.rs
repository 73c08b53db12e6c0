//! `GET /api/v1/config`: what is in force, as it was read, with every default of AgentConfig filled in; and why the
//! last reload was refused, if it was.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use arc_swap::{ArcSwap, ArcSwapOption};
use axum::{
    extract::{RawQuery, State},
    response::Response,
};
use serde::Serialize;
use serde_json::Value;

use super::{
    View,
    page::{self, Page, Wanted},
    problem::Problem,
};
use crate::config::{Report, Sources, umbra::AgentConfig};

/// Faults of a report that are kept and shown; all are counted.
const SHOWN: usize = 100;

/// What the app publishes of the configuration. Swapped whole; nobody waits for a reader.
#[derive(Debug)]
pub struct Configuration {
    in_force: ArcSwap<InForce>,
    refused: ArcSwapOption<Findings>,
    reloads: Reloads,
}

/// How reloads ended since the start.
#[derive(Debug, Default)]
struct Reloads {
    applied: AtomicU64,
    refused: AtomicU64,
    /// When what is in force was put in force: seconds since 1970.
    applied_at: AtomicU64,
}

#[derive(Debug)]
struct InForce {
    agent: AgentConfig,
    sources: Sources,
    findings: Findings,
}

/// What was found in a configuration, and when.
#[derive(Debug)]
struct Findings {
    at: Instant,
    errors: usize,
    warnings: usize,
    diagnostics: Value,
}

impl Configuration {
    /// The one an agent starts with.
    pub fn new(agent: AgentConfig, sources: Sources, report: &Report) -> Self {
        let in_force = InForce { agent, sources, findings: Findings::new(report) };
        let reloads = Reloads { applied_at: AtomicU64::new(unix_time()), ..Reloads::default() };
        Self { in_force: ArcSwap::from_pointee(in_force), refused: ArcSwapOption::empty(), reloads }
    }

    /// A reload took effect: nothing is refused any more. `agent` is what is in force of AgentConfig, which may be less
    /// than what was written.
    pub fn accepted(&self, agent: AgentConfig, sources: Sources, report: &Report) {
        self.refused.store(None);
        self.followed(agent, sources, report);
    }

    /// The same for a change of the cluster: files that are refused stay so.
    pub fn followed(&self, agent: AgentConfig, sources: Sources, report: &Report) {
        self.in_force.store(Arc::new(InForce { agent, sources, findings: Findings::new(report) }));
        self.reloads.applied.fetch_add(1, Relaxed);
        self.reloads.applied_at.store(unix_time(), Relaxed);
    }

    /// A reload was refused; what was in force stays.
    pub fn refused(&self, report: &Report) {
        self.refused.store(Some(Arc::new(Findings::new(report))));
        self.reloads.refused.fetch_add(1, Relaxed);
    }

    /// How often a reload was applied, and refused, since the start.
    pub fn reloads(&self) -> [(&'static str, u64); 2] {
        let Reloads { applied, refused, .. } = &self.reloads;
        [("applied", applied.load(Relaxed)), ("refused", refused.load(Relaxed))]
    }

    /// When what is in force was put in force, at the start or by a reload: seconds since 1970.
    pub fn applied_at(&self) -> u64 {
        self.reloads.applied_at.load(Relaxed)
    }

    /// Whether what is written now is not what is in force.
    pub fn is_refused(&self) -> bool {
        self.refused.load().is_some()
    }

    pub(super) fn standing(&self) -> Standing {
        let in_force = self.in_force.load();
        let refused = self.refused.load();
        Standing {
            age_seconds: super::seconds(in_force.findings.at.elapsed()),
            warnings: in_force.findings.warnings,
            refused: refused.as_ref().map(|findings| Refusal {
                age_seconds: super::seconds(findings.at.elapsed()),
                errors: findings.errors,
                first: findings.diagnostics[0].clone(),
            }),
        }
    }
}

fn unix_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The configuration in a few words, for the status of the agent.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Standing {
    age_seconds: f64,
    warnings: usize,
    /// The last reload, when it was refused.
    refused: Option<Refusal>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Refusal {
    age_seconds: f64,
    errors: usize,
    /// As `umbra check -o json` shows it.
    first: Value,
}

impl Findings {
    fn new(report: &Report) -> Self {
        // Errors first: they are what refused it.
        let (errors, warnings): (Vec<_>, Vec<_>) = report.diagnostics.iter().partition(|d| d.is_error());
        let (error_count, warning_count) = (errors.len(), warnings.len());
        let shown = errors.into_iter().chain(warnings).take(SHOWN).cloned().collect();
        let diagnostics = Report { diagnostics: shown }.to_json();
        Self { at: Instant::now(), errors: error_count, warnings: warning_count, diagnostics }
    }

    fn to_answer(&self) -> FindingsAnswer {
        FindingsAnswer {
            age_seconds: super::seconds(self.at.elapsed()),
            errors: self.errors,
            warnings: self.warnings,
            diagnostics: self.diagnostics.clone(),
        }
    }
}

/// With stable names; the items are the documents as read.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    /// The AgentConfig in force, defaults filled in. A change of capture.inbound, exempt and exemptNode takes effect at
    /// once, of the rest at the next start.
    agent: Value,
    /// Of the configuration in force.
    in_force: FindingsAnswer,
    /// The last reload, when it was refused.
    refused: Option<FindingsAnswer>,
    #[serde(flatten)]
    documents: Page<Document>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct FindingsAnswer {
    age_seconds: f64,
    errors: usize,
    warnings: usize,
    /// As `umbra check -o json` shows them; the first 100, errors before warnings.
    diagnostics: Value,
}

#[derive(Debug, Serialize)]
struct Document {
    /// The file it was read from.
    file: String,
    resource: Value,
}

pub(super) async fn get(State(view): State<Arc<View>>, query: RawQuery) -> Result<Response, Problem> {
    let wanted = Wanted::<(String, usize)>::read(&query)?;
    page::make(move || {
        let Configuration { in_force, refused, .. } = &*view.configuration;
        let in_force = in_force.load_full();
        let after = wanted.after.as_ref().map(|(file, index)| (file.as_str(), *index));
        let later =
            in_force.sources.documents().filter(|d| after.is_none_or(|after| (d.file, d.index) > after));
        let rows = later.flat_map(|document| {
            let key = (document.file.to_owned(), document.index);
            document.to_json().into_iter().map(move |resource| {
                let file = key.0.clone();
                (key.clone(), Document { file, resource })
            })
        });
        page::json(&Answer {
            agent: in_force.agent.to_json(),
            in_force: in_force.findings.to_answer(),
            refused: refused.load_full().map(|findings| findings.to_answer()),
            documents: wanted.page(rows),
        })
    })
    .await
}
