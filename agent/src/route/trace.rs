//! A dry run: what the rules of a captured port say of one request, and why. Reads the same tables as the request path.

use std::sync::Arc;

use serde::Serialize;

use super::{
    Action, Mirroring, PortRules, Rule, Source,
    conditions::Absent,
    table::{BlockId, Table},
};
use crate::message::RequestHead;

/// The outcome, with stable names.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Trace {
    /// The host of the service the request is for; None when its authority names none of several.
    pub service: Option<String>,
    /// `VirtualService`, `HTTPRoute`, …
    pub kind: Option<&'static str>,
    /// `namespace/name` of the object that speaks for the service.
    pub virtual_service: Option<String>,
    /// The index of the matched rule among those of the object, delegates in place.
    pub rule: Option<u32>,
    pub rule_name: Option<String>,
    /// `route`, `redirect`, `directResponse` or `none`.
    pub action: &'static str,
    pub primary: Vec<Primary>,
    pub mirrors: Vec<MirrorTrace>,
    /// Why a rule that names mirrors does not mirror this request.
    pub unmirrored: Option<&'static str>,
    /// What was looked at, in order, up to the match.
    pub trace: Vec<Step>,
    /// The rule itself, for showing its copies.
    #[serde(skip)]
    pub matched: Option<Arc<Rule>>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Primary {
    pub host: String,
    pub subset: Option<String>,
    pub port: u16,
    pub weight: i64,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MirrorTrace {
    pub host: String,
    pub subset: Option<String>,
    pub port: u16,
    pub percentage: f64,
    /// What is within it as a whole: `request`, `key` or `connection`.
    pub drawn_for: &'static str,
    pub endpoints: Vec<String>,
}

/// A match block that was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    pub rule: u32,
    /// None for a rule without matches, which matches everything.
    #[serde(rename = "match")]
    pub block: Option<u32>,
    /// `matched`, or why not.
    pub reason: String,
}

impl PortRules {
    /// What becomes of a request of this client; None for one whose workload is not known.
    pub fn trace(&self, head: &RequestHead<'_>, source: Option<&Source>) -> Trace {
        let mut trace = Trace {
            service: None,
            kind: None,
            virtual_service: None,
            rule: None,
            rule_name: None,
            action: "none",
            primary: Vec::new(),
            mirrors: Vec::new(),
            unmirrored: None,
            trace: Vec::new(),
            matched: None,
        };
        let Some(owner) = self.owner(head, source) else { return trace };
        trace.service = Some(owner.service.to_string());
        let Some(table) = owner.ruling(head).table(source) else { return trace };
        trace.kind = Some(table.kind);
        trace.virtual_service = Some(table.object.clone());
        trace.trace = steps(table, head, source);
        if let Some(entry) = table.find(head, source) {
            trace.rule = Some(entry.id.rule);
            trace.matched(entry.ways.rule(head, self.at()));
        }
        trace
    }
}

impl Trace {
    fn matched(&mut self, rule: &Arc<Rule>) {
        self.rule_name = Some(rule.account.key.rule.clone());
        self.action = rule.action.as_str();
        self.primary = Primary::all(rule);
        self.mirrors = rule.mirrors.iter().map(|mirror| MirrorTrace::new(mirror)).collect();
        self.unmirrored = rule.unmirrored.map(super::Unmirrored::as_str);
        self.matched = Some(Arc::clone(rule));
    }
}

impl Primary {
    /// Of a rule; none where it answers by itself.
    pub(super) fn all(rule: &Rule) -> Vec<Self> {
        let primary = |to: &super::Destination| Self {
            host: to.host.to_string(),
            subset: to.subset.as_ref().map(ToString::to_string),
            port: to.port,
            weight: to.weight,
        };
        match rule.action {
            Action::Route => rule.destinations.iter().map(primary).collect(),
            Action::Redirect | Action::DirectResponse => Vec::new(),
        }
    }
}

impl MirrorTrace {
    fn new(mirror: &super::Mirror) -> Self {
        let Mirroring { host, subset, port, percentage, drawn_for } = Mirroring::new(mirror);
        Self {
            host,
            subset,
            port,
            percentage,
            drawn_for,
            endpoints: mirror.cluster.endpoints.iter().map(ToString::to_string).collect(),
        }
    }
}

/// In the order in which they are tried; what does not exist for this port at the place where it was written.
fn steps(table: &Table, head: &RequestHead<'_>, source: Option<&Source>) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut absent = table.absent.iter().peekable();
    for entry in &table.blocks {
        while let Some((id, why)) = absent.next_if(|(id, _)| *id < entry.id) {
            steps.push(Step::new(*id, absence(*why)));
        }
        let miss = entry.block.miss(head, source);
        let matched = miss.is_none();
        steps.push(Step::new(entry.id, miss.map_or_else(|| "matched".to_owned(), |miss| miss.to_string())));
        if matched {
            return steps;
        }
    }
    steps.extend(absent.map(|(id, why)| Step::new(*id, absence(*why))));
    steps
}

impl Step {
    fn new(id: BlockId, reason: String) -> Self {
        Self { rule: id.rule, block: id.block, reason }
    }
}

fn absence(why: Absent) -> String {
    match why {
        Absent::Port(port) => format!("port: only for service port {port}"),
        Absent::Gateways => "gateways: for gateways, not for the mesh".to_owned(),
        Absent::Source => "source: the client's workload is not known".to_owned(),
        Absent::Faulty => "it has a fault: see `umbra check`".to_owned(),
    }
}
