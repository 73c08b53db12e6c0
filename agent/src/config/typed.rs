//! Shorthands of [`Fields`] for the values that most kinds are made of: absent ones are None or empty, wrong ones are
//! reported and read as if absent.

use std::{fmt::Display, ops::RangeInclusive, time::Duration};

use super::{
    Code, Labels, Located, Location,
    field::{Faults, Field, exactly},
    fields::{Fields, Names},
    values,
};

const DURATION: &str = "write it with a unit: 500ms, 15s, 1m30s";

impl Field<'_> {
    /// A duration that is not negative.
    pub(super) fn duration(&self, faults: &mut Faults<'_>) -> Option<Located<Duration>> {
        self.parsed(faults, DURATION, values::duration)
    }

    /// A number within `range`, whole or not.
    pub(super) fn within(&self, faults: &mut Faults<'_>, range: RangeInclusive<f64>) -> Option<Located<f64>> {
        let number = self.number(faults)?;
        if !range.contains(&number.value) {
            let what = format!("{} is not within {}..={}", number.value, range.start(), range.end());
            self.fault(faults, Code::OutOfRange, what);
            return None;
        }
        Some(number)
    }
}

impl<'n> Fields<'n> {
    pub(super) fn text(&mut self, faults: &mut Faults<'_>, name: &'static str) -> Option<Located<String>> {
        self.get(name)?.text(faults)
    }

    /// Text that must not be empty: protobuf's JSON takes `""` for absent.
    pub(super) fn word(&mut self, faults: &mut Faults<'_>, name: &'static str) -> Option<Located<String>> {
        self.text(faults, name).filter(|text| !text.is_empty())
    }

    /// A word without its place.
    pub(super) fn plain(&mut self, faults: &mut Faults<'_>, name: &'static str) -> Option<String> {
        self.word(faults, name).map(|text| text.value)
    }

    pub(super) fn texts(&mut self, faults: &mut Faults<'_>, name: &'static str) -> Vec<Located<String>> {
        self.get(name).map(|field| field.texts(faults)).unwrap_or_default()
    }

    pub(super) fn labels(&mut self, faults: &mut Faults<'_>, name: &'static str) -> Labels {
        self.get(name).map(|field| field.labels(faults)).unwrap_or_default()
    }

    pub(super) fn flag(&mut self, faults: &mut Faults<'_>, name: &'static str) -> Option<Located<bool>> {
        let field = self.get(name)?;
        field.boolean(faults).map(|value| field.located(value))
    }

    pub(super) fn duration(
        &mut self,
        faults: &mut Faults<'_>,
        name: &'static str,
    ) -> Option<Located<Duration>> {
        self.get(name)?.duration(faults)
    }

    pub(super) fn integer<T>(
        &mut self,
        faults: &mut Faults<'_>,
        name: &'static str,
        range: RangeInclusive<T>,
    ) -> Option<Located<T>>
    where
        T: TryFrom<i64> + PartialOrd + Display,
    {
        self.get(name)?.integer(faults, range)
    }

    pub(super) fn one_of<T: Copy>(
        &mut self,
        faults: &mut Faults<'_>,
        name: &'static str,
        names: &[(&str, T)],
    ) -> Option<Located<T>> {
        self.get(name)?.one_of(faults, names)
    }

    /// The items of a list that could be read.
    pub(super) fn items<T>(
        &mut self,
        faults: &mut Faults<'_>,
        name: &'static str,
        read: impl Fn(&mut Faults<'_>, &Field<'n>) -> Option<T>,
    ) -> Vec<T> {
        let items = self.get(name).map(|field| field.list(faults)).unwrap_or_default();
        exactly(items.len(), items.iter().filter_map(|item| read(faults, item)))
    }

    /// A map of fixed keys within this one: read, and its strange keys reported.
    pub(super) fn child<T>(
        &mut self,
        faults: &mut Faults<'_>,
        name: &'static str,
        names: Names,
        read: impl FnOnce(&mut Faults<'_>, &mut Fields<'n>, Location) -> Option<T>,
    ) -> Option<T> {
        self.get(name)?.map(faults, names, read)
    }

    /// Faults where more than one of the fields is written.
    pub(super) fn exclusive(&self, faults: &mut Faults<'_>, names: &[&str]) {
        let mut written = names.iter().filter(|name| self.has(name));
        let Some(one) = written.next() else { return };
        for other in written {
            let what = format!("`{one}` and `{other}` exclude each other");
            faults.add(Code::Conflict, self.at_key(other), self.path(), what);
        }
    }
}

impl<'n> Field<'n> {
    /// A map of fixed keys: read, and its strange keys reported.
    pub(super) fn map<T>(
        &self,
        faults: &mut Faults<'_>,
        names: Names,
        read: impl FnOnce(&mut Faults<'_>, &mut Fields<'n>, Location) -> Option<T>,
    ) -> Option<T> {
        let mut fields = self.fields(faults)?;
        let value = read(faults, &mut fields, self.at().clone());
        fields.finish(faults, names);
        value
    }
}
