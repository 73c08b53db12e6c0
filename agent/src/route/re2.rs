//! Regular expressions as Istio's own engine, RE2, reads them. The engine here is `regex`, of the same family: what the
//! two write differently is rewritten, what only `regex` knows is refused, so that nothing matches here that would not
//! match there. Rules: RE2's `parse.cc`, Perl syntax and UTF-8.

mod class;

use std::sync::OnceLock;

use regex::bytes::{Regex, RegexBuilder};

/// RE2's limit on the counts of `{n,m}`, those of groups within groups multiplied.
const MAX_REPEAT: u32 = 1000;
/// Bytes of a compiled program; near the size at which Istio's default has Envoy refuse one (32768 instructions).
const MAX_PROGRAM: usize = 1 << 20;
/// Bytes of one thread's cache for one expression. A program that outgrows it runs slower, in linear time still.
const MAX_CACHE: usize = 256 << 10;

/// An expression that compares a whole value.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// Some 20 KiB. Most expressions of a cluster are in rules that no request of this node ever meets.
    regex: OnceLock<Regex>,
    /// As a person knows it; what it was rewritten to is hard to read.
    written: Box<str>,
}

/// Compiles a full match: `^(?:pattern)$`.
///
/// # Errors
/// What is wrong, for a person: RE2 would refuse it, or it is too large.
pub fn compile(pattern: &str) -> Result<Pattern, String> {
    whole(pattern)?;
    Ok(Pattern { regex: OnceLock::new(), written: pattern.into() })
}

fn whole(pattern: &str) -> Result<Regex, String> {
    let whole = format!("^(?:{})$", translate(pattern, "(?:")?);
    let regex = RegexBuilder::new(&whole).size_limit(MAX_PROGRAM).dfa_size_limit(MAX_CACHE).build();
    regex.map_err(fault)
}

impl Pattern {
    pub fn is_match(&self, value: &[u8]) -> bool {
        self.regex().is_match(value)
    }

    /// Keeps the compiled program from now on, so that nobody waits for it later.
    pub(super) fn prepare(&self) {
        self.regex();
    }

    fn regex(&self) -> &Regex {
        self.regex
            .get_or_init(|| whole(&self.written).expect("it compiled before, and compiles alike every time"))
    }

    pub fn as_written(&self) -> &str {
        &self.written
    }
}

/// Compiles for finding occurrences in text, as a rewrite does.
///
/// # Errors
/// As of [`compile`].
pub fn search(pattern: &str) -> Result<regex::Regex, String> {
    let part = translate(pattern, "(")?;
    regex::RegexBuilder::new(&part).size_limit(MAX_PROGRAM).dfa_size_limit(MAX_CACHE).build().map_err(fault)
}

/// `group` opens one: where nobody asks for groups they are not captured, which costs less.
fn translate(pattern: &str, group: &'static str) -> Result<String, String> {
    let (out, last, repeats) = (String::new(), Last::Nothing, vec![1]);
    let mut reader = Reader { rest: pattern, group, out, last, repeats };
    reader.expression()?;
    Ok(reader.out)
}

#[allow(clippy::needless_pass_by_value, reason = "what map_err hands over")]
fn fault(error: regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(_) => "the compiled expression is too large".into(),
        // The last line of a syntax error names the fault; those above it draw the rewritten expression.
        other => other.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").into(),
    }
}

/// What a repetition would apply to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Nothing,
    /// Something that repeats its parts up to so many times.
    Item(u32),
    Repetition,
}

struct Reader<'a> {
    rest: &'a str,
    group: &'static str,
    out: String,
    last: Last,
    /// For each open group, the whole expression first: the most that any part of it is repeated.
    repeats: Vec<u32>,
}

impl Reader<'_> {
    fn expression(&mut self) -> Result<(), String> {
        while let Some(c) = self.next() {
            let mut last = Last::Item(1);
            match c {
                '\\' => self.escape()?,
                '[' => self.class()?,
                '(' => {
                    self.group()?;
                    last = Last::Nothing;
                }
                ')' => {
                    let within = self.repeats.pop().unwrap_or(1);
                    let around = self.repeats.last_mut().ok_or("`)` without `(`")?;
                    *around = within.max(*around);
                    last = Last::Item(within);
                    self.out.push(')');
                }
                '|' => {
                    self.out.push('|');
                    last = Last::Nothing;
                }
                '*' | '+' | '?' => last = self.repetition(&c.to_string(), 1)?,
                '{' => match self.bounds() {
                    Some((bounds, most)) => last = self.repetition(&bounds, most)?,
                    None => self.literal('{'),
                },
                '^' | '$' | '.' => self.out.push(c),
                _ => self.literal(c),
            }
            self.last = last;
        }
        if self.repeats.len() > 1 { Err("`(` without `)`".into()) } else { Ok(()) }
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    fn take(&mut self, start: &str) -> bool {
        self.rest.strip_prefix(start).map(|rest| self.rest = rest).is_some()
    }

    /// As a code point, so that no sign has a meaning of its own.
    fn literal(&mut self, c: char) {
        if c.is_ascii_alphanumeric() {
            self.out.push(c);
        } else {
            self.out.push_str(&format!("\\x{{{:X}}}", u32::from(c)));
        }
    }

    fn repetition(&mut self, operator: &str, most: u32) -> Result<Last, String> {
        let within = match self.last {
            Last::Nothing => return Err(format!("`{operator}` has nothing to repeat")),
            Last::Repetition => return Err(format!("`{operator}` repeats a repetition")),
            Last::Item(within) => within,
        };
        let most = within.saturating_mul(most.max(1));
        if most > MAX_REPEAT {
            return Err(format!("`{operator}` makes for more than {MAX_REPEAT} repetitions"));
        }
        if let Some(group) = self.repeats.last_mut() {
            *group = most.max(*group);
        }
        self.out.push_str(operator);
        if self.take("?") {
            self.out.push('?');
        }
        Ok(Last::Repetition)
    }

    /// The rest of `{n}`, `{n,}` or `{n,m}` and the larger number; any other `{` is a plain character.
    fn bounds(&mut self) -> Option<(String, u32)> {
        let (inside, rest) = self.rest.split_once('}')?;
        let (low, high) = inside.split_once(',').unwrap_or((inside, inside));
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !is_number(low) || !(is_number(high) || high.is_empty()) {
            return None;
        }
        // What does not fit a number is above every limit.
        let most = if high.is_empty() { low } else { high }.parse().unwrap_or(u32::MAX);
        self.rest = rest;
        Some((format!("{{{inside}}}"), most))
    }

    /// Groups are never asked for what they caught, so all of them are opened as plain ones.
    fn group(&mut self) -> Result<(), String> {
        if !self.take("?") {
            self.repeats.push(1);
            self.out.push_str(self.group);
            return Ok(());
        }
        if ["=", "!", "<=", "<!"].iter().any(|around| self.rest.starts_with(around)) {
            return Err("RE2 has no look-around".into());
        }
        let end = self.rest.find(['>', ':', ')']).ok_or("`(?` is not closed")?;
        let (head, close) = (&self.rest[..end], self.rest.as_bytes()[end]);
        let name = head.strip_prefix("P<").or_else(|| head.strip_prefix('<'));
        let named =
            name.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
        let flags = !head.contains(|c| !"imsU-".contains(c));
        match close {
            b'>' if named => self.out.push_str(self.group),
            b':' | b')' if flags => {
                self.out.push_str("(?");
                self.out.push_str(&self.rest[..=end]);
            }
            _ => return Err(format!("`(?{}` is no group of RE2", &self.rest[..=end])),
        }
        if close != b')' {
            self.repeats.push(1);
        }
        self.rest = &self.rest[end + 1..];
        Ok(())
    }

    fn escape(&mut self) -> Result<(), String> {
        if self.take("Q") {
            let (quoted, rest) = self.rest.split_once("\\E").unwrap_or((self.rest, ""));
            self.rest = rest;
            quoted.chars().for_each(|c| self.literal(c));
        } else if self.take("b") {
            self.out.push_str("(?-u:\\b)");
        } else if self.take("B") {
            self.out.push_str("(?-u:\\B)");
        } else if self.take("A") {
            self.out.push_str("\\A");
        } else if self.take("z") {
            self.out.push_str("\\z");
        } else if !self.shared_class()? {
            let c = self.character_escape()?;
            self.literal(c);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
