//! Where compiling puts its faults: each once, though the same rule is compiled for several ports and the reader may
//! have seen the same fault before.

use std::fmt;

use foldhash::HashSet;

use super::{
    doubt::Doubt,
    objects::Objects,
    services::{Nearest, Registry},
};
use crate::config::{Code, Diagnostic, Location, Meta, Report};

pub(super) struct Findings<'r> {
    report: &'r mut Report,
    read: HashSet<(Code, Location)>,
    doubt: Doubt,
    found: HashSet<(Code, Location, String)>,
    /// Of what is being compiled on its own, to be told whenever it is used, the innermost last. Without any, findings
    /// are told at once.
    noted: Vec<Vec<Finding>>,
    /// Hosts to which the nearest known one is the hint, and where in the report.
    unknown: Vec<(usize, String)>,
}

/// A finding that is kept with what it was found in.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) code: Code,
    pub(super) at: Location,
    pub(super) object: String,
    pub(super) message: String,
    pub(super) hint: Option<Hint>,
}

#[derive(Clone, Debug)]
pub(super) enum Hint {
    Text(String),
    /// The known host that is nearest to this unknown one. Looked for at the end: it depends on every other service.
    Nearest(String),
}

/// The object and the path within it that is being compiled. Written out only when there is something to tell.
#[derive(Clone, Copy, Debug)]
pub(super) struct Site<'s> {
    kind: &'static str,
    meta: &'s Meta,
    above: Option<&'s Site<'s>>,
    step: Step<'s>,
}

#[derive(Clone, Copy, Debug)]
enum Step<'s> {
    Field(&'s str),
    Item(&'s str, usize),
    Key(&'s str, &'s str),
}

impl<'s> Site<'s> {
    /// The `spec` of an object.
    pub(super) fn of(kind: &'static str, meta: &'s Meta) -> Self {
        Self { kind, meta, above: None, step: Step::Field("spec") }
    }

    /// `spec.rewrite`
    pub(super) fn field(&'s self, name: &'s str) -> Self {
        Self { above: Some(self), step: Step::Field(name), ..*self }
    }

    /// `spec.http[1]`
    pub(super) fn item(&'s self, name: &'s str, index: usize) -> Self {
        Self { above: Some(self), step: Step::Item(name, index), ..*self }
    }

    /// `spec.headers[x-user]`
    pub(super) fn key(&'s self, name: &'s str, key: &'s str) -> Self {
        Self { above: Some(self), step: Step::Key(name, key), ..*self }
    }

    pub(super) fn object(&self) -> String {
        format!("{} {}", self.kind, self.meta.qualified())
    }
}

/// The path.
impl fmt::Display for Site<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(above) = self.above {
            write!(f, "{above}.")?;
        }
        match self.step {
            Step::Field(name) => f.write_str(name),
            Step::Item(name, index) => write!(f, "{name}[{index}]"),
            Step::Key(name, key) => write!(f, "{name}[{key}]"),
        }
    }
}

impl<'r> Findings<'r> {
    pub(super) fn new(report: &'r mut Report) -> Self {
        let read = report.diagnostics.iter().map(|d| (d.code, d.at.clone())).collect();
        let doubt = Doubt::default();
        Self { report, read, doubt, found: HashSet::default(), noted: Vec::new(), unknown: Vec::new() }
    }

    /// The same, but for what may only follow from faults of these objects.
    pub(super) fn of(objects: &Objects<'_>, report: &'r mut Report) -> Self {
        let doubt = Doubt::of(objects, &report.diagnostics);
        Self { doubt, ..Self::new(report) }
    }

    /// `what` follows the path: `spec.http[1].mirror.host: ` + `no Service has this host`.
    pub(super) fn add(
        &mut self,
        code: Code,
        at: &Location,
        site: &Site<'_>,
        what: impl std::fmt::Display,
        hint: impl Into<Option<String>>,
    ) {
        self.add_hinted(code, at, site, what, hint.into().map(Hint::Text));
    }

    pub(super) fn add_hinted(
        &mut self,
        code: Code,
        at: &Location,
        site: &Site<'_>,
        what: impl std::fmt::Display,
        hint: Option<Hint>,
    ) {
        self.pass_on(&Finding::new(code, at, site, what, hint));
    }

    /// Adds what was found before.
    pub(super) fn pass_on(&mut self, finding: &Finding) {
        match self.noted.last_mut() {
            Some(noted) => noted.push(finding.clone()),
            None => self.tell(finding),
        }
    }

    /// Begins to note what is found instead of telling it; ended by [`Findings::noted`].
    pub(super) fn begin(&mut self) {
        self.noted.push(Vec::new());
    }

    pub(super) fn noted(&mut self) -> Vec<Finding> {
        let mut noted = self.noted.pop().unwrap_or_default();
        noted.shrink_to_fit();
        noted
    }

    /// Reports it, unless it is known.
    pub(super) fn tell(&mut self, finding: &Finding) {
        let Finding { code, at, object, message, hint } = finding;
        if !self.read.is_empty() && self.read.contains(&(*code, at.clone())) || self.doubt.covers(finding) {
            return;
        }
        if self.found.insert((*code, at.clone(), message.clone())) {
            let hint = match hint {
                Some(Hint::Text(hint)) => Some(hint.clone()),
                Some(Hint::Nearest(host)) => {
                    self.unknown.push((self.report.diagnostics.len(), host.clone()));
                    None
                }
                None => None,
            };
            let (object, message) = (Some(object.clone()), message.clone());
            self.report.push(Diagnostic { code: *code, at: at.clone(), object, message, hint });
        }
    }

    /// Fills in the hints that needed the whole.
    pub(super) fn report_nearest(&mut self, registry: &Registry) {
        if self.unknown.is_empty() {
            return;
        }
        let mut nearest = Nearest::new(registry);
        for (index, host) in self.unknown.drain(..) {
            let near = nearest.to(&host);
            self.report.diagnostics[index].hint =
                near.map(|near| format!("the nearest known host is `{near}`"));
        }
    }

    pub(super) fn has_errors(&self) -> bool {
        self.report.has_errors()
    }

    /// For what no single value is to blame.
    pub(super) fn add_general(&mut self, code: Code, at: Location, message: String, hint: String) {
        self.report.push(Diagnostic { code, at, object: None, message, hint: Some(hint) });
    }
}

impl Finding {
    pub(super) fn new(
        code: Code,
        at: &Location,
        site: &Site<'_>,
        what: impl fmt::Display,
        hint: Option<Hint>,
    ) -> Self {
        Self { code, at: at.clone(), object: site.object(), message: format!("{site}: {what}"), hint }
    }
}
