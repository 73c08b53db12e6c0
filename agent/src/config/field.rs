//! Nodes to typed values: each wrong type is reported with its path and place, and reading goes on.

use std::{fmt::Display, ops::RangeInclusive};

use super::{
    Code, Diagnostic, Labels, Located, Location, Report,
    decode::{Key, Node, Value},
    fields::Fields,
    honoured::Honoured,
};

/// Where faults of one object go.
pub(super) struct Faults<'r> {
    pub(super) report: &'r mut Report,
    /// `VirtualService default/my-app`
    pub(super) object: Option<String>,
    /// What is made of the fields of its kind.
    pub(super) honoured: &'static Honoured,
}

impl Faults<'_> {
    /// Reports a fault of the value at `path`.
    pub(super) fn add(
        &mut self,
        code: Code,
        at: &Location,
        path: &str,
        what: impl Display,
    ) -> &mut Diagnostic {
        let message = if path.is_empty() { what.to_string() } else { format!("{path}: {what}") };
        self.report.push(Diagnostic {
            code,
            at: at.clone(),
            object: self.object.clone(),
            message,
            hint: None,
        });
        self.report.diagnostics.last_mut().expect("pushed one line above")
    }

    /// For [`Faults::has_errors_since`].
    pub(super) fn mark(&self) -> usize {
        self.report.diagnostics.len()
    }

    /// Whether what was read since then has errors: what else could be said of it may not be true.
    pub(super) fn has_errors_since(&self, mark: usize) -> bool {
        self.report.diagnostics[mark..].iter().any(Diagnostic::is_error)
    }

    /// Warns of a field that has a meaning, but not to the agent.
    pub(super) fn unhonoured(&mut self, at: &Location, path: &str, meaning: &str) {
        self.add(Code::NotHonoured, at, path, format!("read but not honoured yet: {meaning}"));
    }
}

impl Diagnostic {
    pub(super) fn help(&mut self, hint: impl Into<String>) {
        self.hint = Some(hint.into());
    }
}

/// A value with the path that leads to it.
#[derive(Clone)]
pub(super) struct Field<'n> {
    pub(super) path: String,
    pub(super) node: &'n Node,
}

impl<'n> Field<'n> {
    pub(super) fn at(&self) -> &Location {
        &self.node.at
    }

    pub(super) fn fault<'f>(
        &self,
        faults: &'f mut Faults<'_>,
        code: Code,
        what: impl Display,
    ) -> &'f mut Diagnostic {
        faults.add(code, self.at(), &self.path, what)
    }

    pub(super) fn located<T>(&self, value: T) -> Located<T> {
        Located { value, at: self.at().clone() }
    }

    pub(super) fn wrong_type<'f>(&self, faults: &'f mut Faults<'_>, wanted: &str) -> &'f mut Diagnostic {
        self.fault(faults, Code::BadValue, format!("{} where {wanted} is wanted", describe(&self.node.value)))
    }

    /// Text. Unquoted numbers and `true` are refused, as Kubernetes does.
    pub(super) fn text(&self, faults: &mut Faults<'_>) -> Option<Located<String>> {
        match &self.node.value {
            Value::Text(text) => Some(self.located(text.clone())),
            Value::Number { written, .. } | Value::Bool { written, .. } => {
                self.wrong_type(faults, "text").help(format!("quote it: \"{written}\""));
                None
            }
            _ => {
                self.wrong_type(faults, "text");
                None
            }
        }
    }

    pub(super) fn boolean(&self, faults: &mut Faults<'_>) -> Option<bool> {
        if let Value::Bool { value, .. } = self.node.value {
            return Some(value);
        }
        let fault = self.wrong_type(faults, "true or false");
        if matches!(&self.node.value, Value::Text(_)) {
            fault.help("write true or false, without quotes");
        }
        None
    }

    pub(super) fn number(&self, faults: &mut Faults<'_>) -> Option<Located<f64>> {
        match &self.node.value {
            Value::Number { value, .. } => Some(self.located(*value)),
            Value::Text(text) => {
                let quoted = text.parse::<f64>().is_ok();
                let fault = self.wrong_type(faults, "a number");
                if quoted {
                    fault.help("write it plainly: no quotes, no leading zeros");
                }
                None
            }
            _ => {
                self.wrong_type(faults, "a number");
                None
            }
        }
    }

    /// A whole number within `range`.
    pub(super) fn integer<T>(&self, faults: &mut Faults<'_>, range: RangeInclusive<T>) -> Option<Located<T>>
    where
        T: TryFrom<i64> + PartialOrd + Display,
    {
        let value = self.number(faults)?.value;
        if value.fract() != 0.0 {
            let Value::Number { written, .. } = &self.node.value else { return None };
            self.fault(faults, Code::BadValue, format!("{written} is not a whole number"));
            return None;
        }
        #[allow(clippy::cast_possible_truncation, reason = "saturates, and the ends are in no range")]
        let whole = T::try_from(value as i64).ok().filter(|whole| range.contains(whole));
        if whole.is_none() {
            let range = format!("{}..={}", range.start(), range.end());
            self.fault(faults, Code::OutOfRange, format!("{value} is not within {range}"));
        }
        Some(self.located(whole?))
    }

    pub(super) fn port(&self, faults: &mut Faults<'_>) -> Option<Located<u16>> {
        self.integer(faults, 1..=u16::MAX)
    }

    /// Text or a bare number, made into a `T` by `parse`, whose error says what is wrong.
    pub(super) fn parsed<T>(
        &self,
        faults: &mut Faults<'_>,
        hint: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Located<T>> {
        let text = match &self.node.value {
            Value::Text(text) | Value::Number { written: text, .. } => text,
            _ => {
                self.wrong_type(faults, "text").help(hint);
                return None;
            }
        };
        match parse(text) {
            Ok(value) => Some(self.located(value)),
            Err(what) => {
                self.fault(faults, Code::BadValue, what).help(hint);
                None
            }
        }
    }

    /// One of the named values.
    pub(super) fn one_of<T: Copy>(&self, faults: &mut Faults<'_>, names: &[(&str, T)]) -> Option<Located<T>> {
        let text = self.text(faults)?;
        let found = names.iter().find(|(name, _)| *name == text.value);
        if found.is_none() {
            let known: Vec<_> = names.iter().map(|(name, _)| *name).collect();
            let what = format!("`{}` is not known here", text.value);
            self.fault(faults, Code::BadValue, what).help(format!("one of: {}", known.join(", ")));
        }
        Some(self.located(found?.1))
    }

    pub(super) fn list(&self, faults: &mut Faults<'_>) -> Vec<Field<'n>> {
        let Value::List(items) = &self.node.value else {
            self.wrong_type(faults, "a list").help("start each item with `- `");
            return Vec::new();
        };
        let item = |(index, node)| Field { path: format!("{}[{index}]", self.path), node };
        items.iter().enumerate().map(item).collect()
    }

    pub(super) fn texts(&self, faults: &mut Faults<'_>) -> Vec<Located<String>> {
        let items = self.list(faults);
        exactly(items.len(), items.iter().filter_map(|item| item.text(faults)))
    }

    /// The entries of a map whose keys are data, such as header names.
    pub(super) fn entries(&self, faults: &mut Faults<'_>) -> Vec<(Located<String>, Field<'n>)> {
        let Value::Map(entries) = &self.node.value else {
            self.wrong_type(faults, "a map");
            return Vec::new();
        };
        let entry = |(key, node): &'n (Key, Node)| {
            let name = Located { value: key.name.clone(), at: key.at.clone() };
            (name, Field { path: format!("{}[{}]", self.path, key.name), node })
        };
        entries.iter().map(entry).collect()
    }

    pub(super) fn labels(&self, faults: &mut Faults<'_>) -> Labels {
        let entries = self.entries(faults);
        entries.into_iter().filter_map(|(key, field)| Some((key.value, field.text(faults)?.value))).collect()
    }

    /// The fields of a map.
    pub(super) fn fields(&self, faults: &mut Faults<'_>) -> Option<Fields<'n>> {
        let Value::Map(entries) = &self.node.value else {
            self.wrong_type(faults, "a map");
            return None;
        };
        Some(Fields::new(self.path.clone(), &self.node.at, entries))
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self.node.value, Value::Null)
    }
}

/// Collects what came of `count` items, nearly always as many: rules are kept by the ten thousand, each is large, and a
/// vector that grew as it was filled may keep half as much again, whatever it is told afterwards.
pub(super) fn exactly<T>(count: usize, read: impl Iterator<Item = T>) -> Vec<T> {
    let mut list = Vec::with_capacity(count);
    list.extend(read);
    list.shrink_to_fit();
    list
}

fn describe(value: &Value) -> String {
    match value {
        Value::Null => "nothing".into(),
        Value::Bool { written, .. } | Value::Number { written, .. } => written.clone(),
        Value::Text(text) if text.len() <= 40 => format!("the text `{text}`"),
        Value::Text(_) => "text".into(),
        Value::List(_) => "a list".into(),
        Value::Map(_) => "a map".into(),
    }
}
