//! Labels as written: few on each object, on hundreds of thousands of objects, so no larger than their text.

use std::sync::Arc;

use serde::{Serialize, Serializer};

/// Names and values, sorted by name; a name is there once. A selector, too: what must be there. A clone is the same
/// memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(Option<Arc<[Label]>>);

/// Name and value.
type Label = (Box<str>, Box<str>);

impl Labels {
    /// No labels, which as a selector everything has.
    pub const NONE: Self = Self(None);

    /// The value of a label.
    pub fn get(&self, name: &str) -> Option<&str> {
        let labels = self.0.as_ref()?;
        let found = labels.binary_search_by(|(one, _)| (**one).cmp(name)).ok()?;
        Some(&labels[found].1)
    }

    /// Sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().flat_map(|labels| &**labels).map(|(name, value)| (&**name, &**value))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Has every one of these, with the same value.
    pub fn have_all(&self, selector: &Self) -> bool {
        selector.iter().all(|(name, value)| self.get(name) == Some(value))
    }
}

/// Of a name that comes again the last value stays.
impl<N: Into<Box<str>>, V: Into<Box<str>>> FromIterator<(N, V)> for Labels {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(labels: I) -> Self {
        let mut labels: Vec<Label> =
            labels.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        labels.sort_by(|(one, _), (other, _)| one.cmp(other));
        labels.dedup_by(|later, earlier| {
            let again = later.0 == earlier.0;
            if again {
                std::mem::swap(&mut later.1, &mut earlier.1);
            }
            again
        });
        Self((!labels.is_empty()).then(|| labels.into()))
    }
}

impl Serialize for Labels {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::Labels;

    #[test]
    fn a_label_is_found_by_its_name_and_the_last_of_one_name_stays() {
        let labels: Labels = [("tier", "a"), ("app", "x"), ("app", "y"), ("app", "z")].into_iter().collect();
        assert_eq!(labels.iter().collect::<Vec<_>>(), [("app", "z"), ("tier", "a")]);
        assert_eq!((labels.get("tier"), labels.get("none")), (Some("a"), None));
    }

    #[test]
    fn a_selector_without_labels_selects_everything() {
        let labels: Labels = [("app", "x")].into_iter().collect();
        assert!(labels.have_all(&Labels::NONE) && labels.have_all(&labels));
        assert!(!Labels::NONE.have_all(&labels));
    }
}
