//! Where compiling puts its faults: each once, though the same rule is compiled for several ports and the reader may
//! have seen the same fault before.

use std::{collections::HashSet, fmt};

use crate::config::{Code, Diagnostic, Location, Meta, Report};

pub(super) struct Findings<'r> {
    report: &'r mut Report,
    read: HashSet<(Code, Location)>,
    found: HashSet<(Code, Location, String)>,
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

    fn object(&self) -> String {
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
        Self { report, read, found: HashSet::new() }
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
        if self.read.contains(&(code, at.clone())) {
            return;
        }
        let message = format!("{site}: {what}");
        if self.found.insert((code, at.clone(), message.clone())) {
            let (object, hint) = (Some(site.object()), hint.into());
            self.report.push(Diagnostic { code, at: at.clone(), object, message, hint });
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
