//! From `headers` and `rewrite` as written to what they change in a copy.

use http::{HeaderName, HeaderValue};
use regex::Regex;

use super::{
    changes::{Changes, HeaderChanges, Matched, PathChange, Template, TemplateFault},
    findings::{Findings, Site},
    re2,
};
use crate::config::{
    Code, Located,
    istio::{HeaderOperations, Headers, Rewrite},
};

/// Names that belong to a connection or to the framing of a message; a copy has its own.
const OF_THE_CONNECTION: [&str; 9] = [
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A rewrite of the path, before it is known what the match compares.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Rewritten {
    /// What was matched is replaced.
    Matched(Box<str>),
    /// The same, by whole path elements: both sides without a slash at their end.
    Elements(Box<str>),
    Whole(Box<str>),
    Regex(Regexed),
}

#[derive(Clone, Debug)]
pub(super) struct Regexed {
    regex: Regex,
    with: Box<str>,
}

impl PartialEq for Regexed {
    fn eq(&self, other: &Self) -> bool {
        self.regex.as_str() == other.regex.as_str() && self.with == other.with
    }
}

/// What one `headers.request` says.
#[derive(Debug, Default)]
pub(super) struct Altered {
    pub(super) headers: HeaderChanges,
    /// `host` and `:authority` are no headers to Envoy but a rewrite of the host, `set` before `add`.
    pub(super) authority: Option<HeaderValue>,
}

/// How a value is to be read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Values {
    /// Istio's.
    Templates,
    /// The Gateway API's.
    Literal,
}

pub(super) type Pairs = [(Located<String>, Located<String>)];

impl Rewritten {
    pub(super) fn change(&self, matched: Matched) -> PathChange {
        match self {
            Self::Matched(with) => PathChange::Replace { matched, with: with.clone() },
            Self::Elements(with) => PathChange::Replace { matched, with: with.trim_end_matches('/').into() },
            Self::Whole(with) => PathChange::Replace { matched: Matched::Whole, with: with.clone() },
            Self::Regex(Regexed { regex, with }) => {
                PathChange::Regex { regex: regex.clone(), with: with.clone() }
            }
        }
    }
}

/// `rewrite.uriRegexRewrite`, else `rewrite.uri`.
pub(super) fn rewrite(written: &Rewrite, site: &Site<'_>, findings: &mut Findings<'_>) -> Option<Rewritten> {
    let Some(by_regex) = &written.uri_regex else {
        let uri = written.uri.as_ref().filter(|uri| !uri.value.is_empty())?;
        return Some(Rewritten::Matched(uri.value.as_str().into()));
    };
    let site = site.field("uriRegexRewrite");
    let regex = match re2::search(&by_regex.pattern.value) {
        Ok(regex) => regex,
        Err(fault) => {
            let what = format!("`{}`: {fault}", by_regex.pattern.value);
            findings.add(Code::BadRegex, &by_regex.pattern.at, &site.field("match"), what, None);
            return None;
        }
    };
    let with = PathChange::substitution(&by_regex.rewrite.value, regex.captures_len() - 1);
    if with.is_none() {
        let what = format!("`{}` names a group that the expression does not have", by_regex.rewrite.value);
        let hint = "a backslash and a digit stand for a group, two backslashes for one".to_owned();
        findings.add(Code::BadValue, &by_regex.rewrite.at, &site.field("rewrite"), what, hint);
    }
    Some(Rewritten::Regex(Regexed { regex, with: with? }))
}

/// `headers.request`; what is done to responses is no matter of a copy's.
pub(super) fn of_headers(headers: Option<&Headers>, site: &Site<'_>, findings: &mut Findings<'_>) -> Altered {
    let Some(operations) = headers.and_then(|headers| headers.request.as_ref()) else {
        return Altered::default();
    };
    let site = site.field("headers");
    let site = site.field("request");
    let HeaderOperations { at: _, set, add, remove } = operations;
    operations_of(set, add, remove, Values::Templates, &site, findings)
}

pub(super) fn operations_of(
    set: &Pairs,
    add: &Pairs,
    remove: &[Located<String>],
    values: Values,
    site: &Site<'_>,
    findings: &mut Findings<'_>,
) -> Altered {
    let authority = [set, add].into_iter().flatten().find(|(name, _)| is_host(name));
    let authority = authority.and_then(|(_, value)| HeaderValue::from_str(&value.value).ok());
    let mut reader = Reader { values, findings };
    let headers = HeaderChanges {
        remove: remove.iter().filter_map(|name| reader.name(name, &site.field("remove"))).collect(),
        set: reader.pairs(set, "set", site),
        add: reader.pairs(add, "add", site),
    };
    Altered { headers, authority }
}

/// Names that a copy may go without.
pub(super) fn names(
    written: &[Located<String>],
    site: &Site<'_>,
    findings: &mut Findings<'_>,
) -> Vec<HeaderName> {
    let mut reader = Reader { values: Values::Literal, findings };
    written.iter().filter_map(|name| reader.name(name, site)).collect()
}

/// The changes of a rule and one of its destinations. With a single destination Istio makes both one list, the
/// destination's last; with several Envoy carries out the destination's first (trap 19).
pub(super) fn together(
    mut of_rule: HeaderChanges,
    of_destination: HeaderChanges,
    several: bool,
) -> Vec<HeaderChanges> {
    if several {
        let both = [of_destination, of_rule].into_iter();
        return both.filter(|changes| *changes != HeaderChanges::default()).collect();
    }
    of_rule.remove.extend(of_destination.remove);
    of_rule.set.extend(of_destination.set);
    of_rule.add.extend(of_destination.add);
    if of_rule == HeaderChanges::default() { Vec::new() } else { vec![of_rule] }
}

/// None when nothing changes.
pub(super) fn some(changes: Changes) -> Option<std::sync::Arc<Changes>> {
    (!changes.is_empty()).then(|| std::sync::Arc::new(changes))
}

fn is_host(name: &str) -> bool {
    name.eq_ignore_ascii_case("host") || name.eq_ignore_ascii_case(":authority")
}

struct Reader<'f, 'r> {
    values: Values,
    findings: &'f mut Findings<'r>,
}

impl Reader<'_, '_> {
    /// None for what Istio drops, and for what a copy decides itself.
    fn name(&mut self, name: &Located<String>, site: &Site<'_>) -> Option<HeaderName> {
        if name.starts_with(':') || is_host(name) {
            return None;
        }
        let known = HeaderName::from_bytes(name.as_bytes()).ok();
        let what = match &known {
            None => format!("`{}` is no header name", name.value),
            Some(known) if OF_THE_CONNECTION.contains(&known.as_str()) => {
                format!("`{}` belongs to the connection; a copy has its own", name.value)
            }
            Some(_) => return known,
        };
        self.findings.add(Code::NotHonoured, &name.at, site, what, None);
        None
    }

    /// In the order in which Istio hands them to Envoy: by name.
    fn pairs(&mut self, pairs: &Pairs, field: &str, site: &Site<'_>) -> Vec<(HeaderName, Template)> {
        let mut in_order: Vec<_> = pairs.iter().collect();
        in_order.sort_by_key(|(name, _)| name.as_str());
        let mut read = Vec::with_capacity(pairs.len());
        for (name, value) in in_order {
            let site = site.key(field, &name.value);
            let Some(header) = self.name(name, &site) else { continue };
            let template = match self.values {
                Values::Templates => Template::new(&value.value),
                Values::Literal => Template::literal(&value.value),
            };
            match template {
                Ok(template) => read.push((header, template)),
                Err(fault) => {
                    let hint = match &fault {
                        TemplateFault::Unknown(_) => {
                            Some("known: %REQ(name)%, %DOWNSTREAM_REMOTE_ADDRESS%, %%".to_owned())
                        }
                        TemplateFault::Open | TemplateFault::Characters => None,
                    };
                    let what = format!("{fault}; a copy goes without this change");
                    self.findings.add(Code::NotHonoured, &value.at, &site, what, hint);
                }
            }
        }
        read
    }
}
