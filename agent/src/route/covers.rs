//! Which match blocks no request reaches because an earlier one takes every request of theirs. Says so only where it
//! follows from the texts as they stand; two regexes are compared as written.

use std::collections::BTreeMap;

use super::{
    matcher::{Block, FieldCondition, Text},
    source::SourceCondition,
    table::{BlockId, Table},
};

/// Comparisons of two conditions in one table, so that a table of very many costs no more than tens of milliseconds.
/// Enough for the first 2,900 blocks of a path alone.
const COMPARISONS: usize = 1 << 22;

/// Each block that is never reached, and the first one that takes its requests.
pub(super) fn hidden(table: &Table) -> BTreeMap<BlockId, BlockId> {
    let (mut left, mut conditions) = (COMPARISONS, 0);
    let mut hidden = BTreeMap::new();
    for (index, entry) in table.blocks.iter().enumerate() {
        let own = 1 + entry.block.fields.len() + entry.block.query.len();
        let Some(less) = left.checked_sub(conditions * own) else { break };
        (left, conditions) = (less, conditions + own);
        let by = table.blocks[..index].iter().find(|earlier| earlier.block.covers(&entry.block));
        hidden.extend(by.map(|by| (entry.id, by.id)));
    }
    hidden
}

impl Block {
    /// Whatever `other` matches, this matches.
    fn covers(&self, other: &Self) -> bool {
        (self.takes_any_path() || self.path.covers(&other.path))
            && self.fields.iter().all(|own| other.fields.iter().any(|its| own.follows_from(its)))
            && self
                .query
                .iter()
                .all(|(name, own)| other.query.iter().any(|(other, its)| name == other && own.covers(its)))
            && self.source.covers(&other.source)
    }
}

impl SourceCondition {
    fn covers(&self, other: &Self) -> bool {
        let namespace = self.namespace.is_none() || self.namespace == other.namespace;
        namespace && other.labels.have_all(&self.labels)
    }
}

impl FieldCondition {
    fn follows_from(&self, other: &Self) -> bool {
        let implied = match (self.without, other.without) {
            (false, false) => self.text.covers(&other.text),
            // A header that is missing counts as an empty one for some texts and not for others.
            (true, true) => self.text.is_written_as(&other.text),
            _ => false,
        };
        implied && self.field == other.field
    }
}

impl Text {
    /// Whatever value `other` holds for, this holds for; both are asked only of values that exist.
    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Present, _) => true,
            (Self::Regex(regex), _) if regex.as_written() == ".*" => true,
            (_, Self::Exact(text)) => self.holds(text),
            (Self::ExactAnyCase(own), Self::ExactAnyCase(text)) => own.eq_ignore_ascii_case(text),
            (Self::PrefixAnyCase(_), Self::ExactAnyCase(text) | Self::PrefixAnyCase(text)) => {
                self.holds(text)
            }
            (Self::Prefix(_) | Self::PrefixAnyCase(_), Self::Prefix(text) | Self::Elements(text)) => {
                self.holds(text)
            }
            (Self::Elements(_), Self::Elements(text)) => self.holds(text),
            (Self::Elements(own), Self::Prefix(text)) => self.holds(text) && text.len() > own.len(),
            _ => self.is_written_as(other),
        }
    }

    fn is_written_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(own), Self::Exact(text)) | (Self::Prefix(own), Self::Prefix(text)) => own == text,
            (Self::Regex(own), Self::Regex(regex)) => own.as_written() == regex.as_written(),
            (Self::Present, Self::Present) => true,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        message::{BodyLength, Header, RequestHead, Version},
        route::{matcher::Field, re2},
    };

    fn text() -> impl Strategy<Value = Text> {
        let bytes = "[/aAb]{0,4}".prop_map(|text| Box::<[u8]>::from(text.as_bytes()));
        let regex = prop::sample::select(vec![".*", "a.*", "/a|/b", "[ab/]*"]);
        prop_oneof![
            bytes.clone().prop_map(Text::Exact),
            bytes.clone().prop_map(Text::Prefix),
            bytes.clone().prop_map(Text::ExactAnyCase),
            bytes.clone().prop_map(Text::PrefixAnyCase),
            "(/[aAb]{1,2}){0,2}".prop_map(|text| Text::Elements(text.as_bytes().into())),
            regex.prop_map(|pattern| Text::Regex(Box::new(re2::compile(pattern).unwrap()))),
            Just(Text::Present),
        ]
    }

    fn block() -> impl Strategy<Value = Block> {
        let condition = (text(), any::<bool>()).prop_map(|(text, without)| FieldCondition {
            field: Field::Header("x".into()),
            text,
            without,
        });
        let fields = prop::collection::vec(condition, 0..2);
        let query = prop::collection::vec(text().prop_map(|text| ("q".into(), text)), 0..2);
        (text(), fields, query).prop_map(|(path, fields, query)| Block {
            path,
            fields,
            query,
            ..Block::any()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]
        #[test]
        fn a_block_that_covers_another_matches_all_of_its_requests(
            one in block(),
            other in block(),
            requests in prop::collection::vec(("/[aAb/]{0,4}", "[/aAb]{0,3}", prop::option::of("[/aAb]{0,3}")), 32),
        ) {
            for (path, query, header) in requests {
                let target = format!("{path}?q={query}");
                let header = header.as_ref().map(|value| Header { name: "x", value: value.as_bytes() });
                let head = RequestHead {
                    method: "GET",
                    target: &target,
                    version: Version::Http11,
                    headers: header.as_slice(),
                    body: BodyLength::None,
                    encrypted: false,
                };
                let broken = one.covers(&other) && other.matches(&head, None) && !one.matches(&head, None);
                prop_assert!(!broken, "{one:?} does not match {target} {header:?}, but {other:?} does");
            }
        }
    }
}
