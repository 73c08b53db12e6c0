//! For tests, which have room for all documents at once.

use super::{Documents, Node, Report};

pub(in crate::config) fn documents(file: &str, text: &str, report: &mut Report) -> Vec<Node> {
    let mut documents = Documents::of(&file.into(), text, report);
    std::iter::from_fn(|| documents.next(report)).map(super::Document::into_node).collect()
}
