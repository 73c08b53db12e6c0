//! A spanned YAML tree and the reader of its fields.
