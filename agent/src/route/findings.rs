//! Where compiling puts its faults: each once, though the same rule is compiled for several ports and the reader may
//! have seen the same fault before.

use std::collections::HashSet;

use crate::config::{Code, Diagnostic, Location, Report};

pub(super) struct Findings<'r> {
    report: &'r mut Report,
    read: HashSet<(Code, Location)>,
    found: HashSet<(Code, Location, String)>,
}

/// The object and the path within it that is being compiled.
#[derive(Clone, Debug)]
pub(super) struct Site {
    /// `VirtualService default/my-app`
    pub(super) object: String,
    /// `spec.http[1]`
    pub(super) path: String,
}

impl Site {
    pub(super) fn field(&self, field: impl std::fmt::Display) -> Self {
        Self { object: self.object.clone(), path: format!("{}.{field}", self.path) }
    }
}

impl<'r> Findings<'r> {
    pub(super) fn new(report: &'r mut Report) -> Self {
        let read = report.diagnostics.iter().map(|d| (d.code, d.at.clone())).collect();
        Self { report, read, found: HashSet::new() }
    }

    /// `what` follows the path: `spec.http[1].mirror.host: ` + `no ServiceEntry has this host`.
    pub(super) fn add(
        &mut self,
        code: Code,
        at: &Location,
        site: &Site,
        what: impl std::fmt::Display,
        hint: impl Into<Option<String>>,
    ) {
        if self.read.contains(&(code, at.clone())) {
            return;
        }
        let message = format!("{}: {what}", site.path);
        if self.found.insert((code, at.clone(), message.clone())) {
            let (object, hint) = (Some(site.object.clone()), hint.into());
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
