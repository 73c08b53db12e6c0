//! Reports for people and for programs: the place, the line itself, a caret, what to do.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use serde::Serialize;

use super::{Diagnostic, Report, Severity};

/// The text of every source that was read, by the name its [`Location`](super::Location)s carry.
/// A clone costs nothing until one of the two changes.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    texts: Arc<BTreeMap<Arc<str>, Arc<str>>>,
}

impl Sources {
    /// Shares the text when it is shared already.
    pub fn insert(&mut self, file: &str, text: impl Into<Arc<str>>) {
        Arc::make_mut(&mut self.texts).insert(file.into(), text.into());
    }

    pub fn get(&self, file: &str) -> Option<&str> {
        self.texts.get(file).map(AsRef::as_ref)
    }

    /// Names and texts, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts.iter().map(|(file, text)| (file.as_ref(), text.as_ref()))
    }

    /// Changes when a name or a text does. Meaningful within one process only.
    pub fn fingerprint(&self) -> u64 {
        fingerprint(&self.iter().map(|(file, text)| (file, digest(text))).collect())
    }
}

/// That of [`Sources`] whose names have texts with these digests.
pub fn fingerprint(digests: &BTreeMap<&str, u64>) -> u64 {
    hash(digests)
}

/// Of a text, for [`fingerprint`].
pub fn digest(text: &str) -> u64 {
    hash(text)
}

fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Lines as YAML counts them: a CR alone ends one too (YAML 1.2 §5.4).
pub(super) fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| line.split('\r'))
}

impl Severity {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One fault as `-o json` shows it.
#[derive(Debug, Serialize)]
struct Row<'r> {
    code: &'static str,
    severity: &'static str,
    file: &'r str,
    line: u32,
    column: u32,
    object: Option<&'r str>,
    message: &'r str,
    hint: Option<&'r str>,
}

impl Report {
    /// Every fault, in the manner of compilers, each followed by an empty line. Nothing when there is none.
    pub fn render(&self, sources: &Sources) -> String {
        let mut out = String::new();
        // Split once, not once per fault: a hostile source has many lines and a fault in each.
        let mut lines: HashMap<&str, Vec<&str>> = HashMap::new();
        for diagnostic in &self.diagnostics {
            let file = &*diagnostic.at.file;
            let lines =
                lines.entry(file).or_insert_with(|| self::lines(sources.get(file).unwrap_or("")).collect());
            let index = usize::try_from(diagnostic.at.line).unwrap_or(0).wrapping_sub(1);
            // Writing to a `String` cannot fail.
            let _ = diagnostic.write(lines.get(index).copied(), &mut out);
        }
        out
    }

    /// A list of `{code, severity, file, line, column, object, message, hint}`.
    pub fn to_json(&self) -> serde_json::Value {
        let rows = self.diagnostics.iter().map(|d| Row {
            code: d.code.as_str(),
            severity: d.code.severity().as_str(),
            file: &d.at.file,
            line: d.at.line,
            column: d.at.column,
            object: d.object.as_deref(),
            message: &d.message,
            hint: d.hint.as_deref(),
        });
        serde_json::json!(rows.collect::<Vec<_>>())
    }

    pub fn errors(&self) -> usize {
        self.diagnostics.iter().filter(|d| d.code.severity() == Severity::Error).count()
    }

    pub fn warnings(&self) -> usize {
        self.diagnostics.len() - self.errors()
    }
}

/// Columns of a source line shown on each side of the caret.
const WINDOW: usize = 60;

impl Diagnostic {
    fn write(&self, line: Option<&str>, out: &mut String) -> std::fmt::Result {
        let object = self.object.as_ref().map(|object| format!("{object}: ")).unwrap_or_default();
        let message = clean(&self.message);
        writeln!(out, "{}[{}]: {}{message}", self.code.severity().as_str(), self.code, clean(&object))?;
        let gutter = self.at.line.to_string().len();
        writeln!(out, "{:gutter$}--> {}", "", clean(&self.at.to_string()))?;
        if let Some(line) = line {
            let column = usize::try_from(self.at.column).unwrap_or(1).max(1) - 1;
            let start = column.saturating_sub(WINDOW);
            // A tab is one column to the reader of YAML, and one space here, so that the caret stands right.
            let shown: String = line.chars().skip(start).take(2 * WINDOW).collect();
            let shown = clean(&shown);
            writeln!(out, "{:gutter$} |", "")?;
            writeln!(out, "{} | {}", self.at.line, shown.trim_end())?;
            writeln!(out, "{:gutter$} | {:width$}^", "", "", width = column - start)?;
        }
        if let Some(hint) = &self.hint {
            writeln!(out, "{:gutter$} = help: {}", "", clean(hint))?;
        }
        writeln!(out)
    }
}

/// Text from files must not steer a terminal.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
