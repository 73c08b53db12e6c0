//! Which blocks of a long table a path can match at all, so that a request is not held against ten thousand of them. What
//! is not plain text (patterns, texts of any case) can match any path, and is tried in turn.

use super::matcher::Text;

/// A table with fewer blocks is as fast without.
const WORTH_IT: usize = 16;

/// The blocks of one table by the text their paths begin with.
#[derive(Debug)]
pub(super) struct Paths {
    /// Every such text once, in order, one after the other.
    bytes: Box<[u8]>,
    texts: Box<[Start]>,
    /// The blocks of each text in turn, those of one text in their own order.
    blocks: Box<[u32]>,
    /// Blocks whose paths begin with no text in particular.
    others: Box<[u32]>,
}

/// One text: where it is in `bytes`, and where its blocks are in `blocks`.
#[derive(Clone, Copy, Debug)]
struct Start {
    bytes: (u32, u32),
    blocks: (u32, u32),
    /// The longest other text that this one begins with. Of one that begins with none, itself.
    within: u32,
}

impl Paths {
    /// Of a table whose blocks have these conditions on the path. None for a short one, and for one that is too large.
    pub(super) fn of<'t>(conditions: impl ExactSizeIterator<Item = &'t Text>) -> Option<Self> {
        if conditions.len() < WORTH_IT {
            return None;
        }
        let (mut begun, mut others) = (Vec::new(), Vec::new());
        for (block, condition) in (0_u32..).zip(conditions) {
            match condition {
                Text::Exact(text) | Text::Prefix(text) | Text::Elements(text) => begun.push((&**text, block)),
                Text::ExactAnyCase(_) | Text::PrefixAnyCase(_) | Text::Regex(_) | Text::Present => {
                    others.push(block);
                }
            }
        }
        begun.sort_unstable();
        let (mut bytes, mut texts) = (Vec::new(), Vec::<Start>::new());
        // Texts that the last one begins with, the longest last, itself included.
        let mut around = Vec::<(&[u8], u32)>::new();
        for (at, &(text, _)) in begun.iter().enumerate() {
            let at = u32::try_from(at).ok()?;
            if let Some(last) = texts.last_mut().filter(|_| around.last().is_some_and(|last| last.0 == text))
            {
                last.blocks.1 = at + 1;
                continue;
            }
            while around.pop_if(|(outer, _)| !text.starts_with(outer)).is_some() {}
            let this = u32::try_from(texts.len()).ok()?;
            let within = around.last().map_or(this, |(_, outer)| *outer);
            let from = u32::try_from(bytes.len()).ok()?;
            bytes.extend_from_slice(text);
            texts.push(Start {
                bytes: (from, u32::try_from(bytes.len()).ok()?),
                blocks: (at, at + 1),
                within,
            });
            around.push((text, this));
        }
        let blocks = begun.into_iter().map(|(_, block)| block).collect();
        Some(Self { bytes: bytes.into(), texts: texts.into(), blocks, others: others.into() })
    }

    /// The first block in the table's order that may match the path and of which `matches` is true.
    pub(super) fn first(&self, path: &[u8], matches: impl Fn(usize) -> bool) -> Option<usize> {
        let mut first = None;
        let mut look = |blocks: &[u32]| {
            let earlier = blocks.iter().map(|block| *block as usize);
            let mut earlier = earlier.take_while(|block| first.is_none_or(|first| *block < first));
            first = earlier.find(|block| matches(*block)).or(first);
        };
        // Whatever text the path begins with, the last text that is not after the path begins with it too.
        let after = self.texts.partition_point(|start| self.text(start) <= path);
        let mut next = after.checked_sub(1);
        while let Some(at) = next {
            let start = &self.texts[at];
            if path.starts_with(self.text(start)) {
                look(&self.blocks[start.blocks.0 as usize..start.blocks.1 as usize]);
            }
            next = Some(start.within as usize).filter(|within| *within != at);
        }
        look(&self.others);
        first
    }

    fn text(&self, start: &Start) -> &[u8] {
        &self.bytes[start.bytes.0 as usize..start.bytes.1 as usize]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Few letters, so that texts begin with one another.
    fn text() -> impl Strategy<Value = Box<[u8]>> {
        "/[ab/]{0,4}".prop_map(|text| text.into_bytes().into())
    }

    fn condition() -> impl Strategy<Value = Text> {
        prop_oneof![
            text().prop_map(Text::Exact),
            text().prop_map(Text::Prefix),
            text().prop_map(Text::Elements),
            text().prop_map(Text::PrefixAnyCase),
            Just(Text::Elements(Box::default())),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn the_first_match_is_that_of_looking_at_each(
            conditions in prop::collection::vec((condition(), any::<bool>()), WORTH_IT..60),
            path in text(),
        ) {
            let paths = Paths::of(conditions.iter().map(|(text, _)| text)).unwrap();
            // Other conditions of a block hold or not, whatever the path.
            let matches = |block: usize| conditions[block].1 && conditions[block].0.holds(&path);
            prop_assert_eq!(paths.first(&path, matches), (0..conditions.len()).find(|block| matches(*block)));
        }
    }

    #[test]
    fn of_ten_thousand_blocks_few_are_looked_at() {
        let prefix = |number: usize| Text::Prefix(format!("/department-{number}/").into_bytes().into());
        let mut conditions: Vec<_> = (0..10_000).map(prefix).collect();
        conditions.push(Text::Prefix(Box::from(*b"/")));
        let paths = Paths::of(conditions.iter()).unwrap();
        for (path, expected) in [("/department-77/a", 77), ("/department-", 10_000), ("/", 10_000)] {
            let looked = std::cell::Cell::new(0);
            let matches = |block: usize| {
                looked.set(looked.get() + 1);
                conditions[block].holds(path.as_bytes())
            };
            assert_eq!(paths.first(path.as_bytes(), matches), Some(expected), "{path}");
            assert!(looked.get() <= 2, "{path}: {}", looked.get());
        }
    }

    #[test]
    fn short_tables_have_none() {
        assert!(Paths::of([Text::Present].iter()).is_none());
    }
}
