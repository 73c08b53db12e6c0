//! Rewrites of the path. The query, and a fragment if there is one, stay as they were.

use regex::Regex;

/// How the path of a request becomes another one.
#[derive(Clone, Debug)]
pub enum PathChange {
    /// Envoy's `prefix_rewrite`: what the rule's match compared is replaced, so the path's first bytes or all of it.
    Replace { matched: Matched, with: Box<str> },
    /// Envoy's `regex_rewrite`: every occurrence is replaced.
    Regex { regex: Regex, with: Box<str> },
}

/// What a rule compared the path with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matched {
    /// So many first bytes.
    Prefix(usize),
    /// Exact and regex matches compare the whole path.
    Whole,
}

impl PathChange {
    pub(super) fn apply(&self, path_and_query: &str) -> String {
        let end = path_and_query.find(['?', '#']).unwrap_or(path_and_query.len());
        let (path, rest) = path_and_query.split_at(end);
        let path = match self {
            Self::Replace { matched: Matched::Whole, with } => with.to_string(),
            // A request for `*`, or one of another spelling of the prefix, is at least as long as what it matched.
            Self::Replace { matched: Matched::Prefix(length), with } => {
                format!("{with}{}", path.get(*length..).unwrap_or(""))
            }
            Self::Regex { regex, with } => regex.replace_all(path, &**with).into_owned(),
        };
        // A path of nothing is the root's (RFC 9112 §3.2.1).
        let path = if path.is_empty() { "/" } else { &path };
        format!("{path}{rest}")
    }

    /// RE2's substitution (`\1`, `\\`) in the words of `regex` (`${1}`, `$$`). None when RE2 would refuse it.
    pub fn substitution(written: &str, groups: usize) -> Option<Box<str>> {
        let mut out = String::with_capacity(written.len());
        let mut chars = written.chars();
        while let Some(c) = chars.next() {
            match c {
                '\\' => match chars.next()? {
                    '\\' => out.push('\\'),
                    digit => {
                        let group = digit.to_digit(10).filter(|&n| n as usize <= groups)?;
                        out.push_str(&format!("${{{group}}}"));
                    }
                },
                '$' => out.push_str("$$"),
                c => out.push(c),
            }
        }
        Some(out.into())
    }
}

impl PartialEq for PathChange {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Replace { matched: a, with: x }, Self::Replace { matched: b, with: y }) => {
                a == b && x == y
            }
            (Self::Regex { regex: a, with: x }, Self::Regex { regex: b, with: y }) => {
                a.as_str() == b.as_str() && x == y
            }
            _ => false,
        }
    }
}
