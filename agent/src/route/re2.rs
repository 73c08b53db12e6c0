//! Regular expressions as Istio's own engine, RE2, reads them. The engine here is `regex`, of the same family: what the
//! two write differently is rewritten, what only `regex` knows is refused, so that nothing matches here that would not
//! match there. Rules: RE2's `parse.cc`, Perl syntax and UTF-8.

use regex::bytes::{Regex, RegexBuilder};

/// Istio's own limit on what is written.
const MAX_LENGTH: usize = 1024;
/// RE2's limit on the counts of `{n,m}`.
const MAX_REPEAT: u32 = 1000;
/// Bytes of a compiled program; near the size at which Istio's default has Envoy refuse one (32768 instructions).
const MAX_PROGRAM: usize = 1 << 20;
/// Bytes of one thread's cache for one expression. A program that outgrows it runs slower, in linear time still.
const MAX_CACHE: usize = 256 << 10;

/// Compiles a full match: `^(?:pattern)$`. The error says what is wrong, for a person.
pub(super) fn compile(pattern: &str) -> Result<Regex, String> {
    if pattern.is_empty() {
        return Err("the expression is empty".into());
    }
    if pattern.len() > MAX_LENGTH {
        return Err(format!("the expression has {} bytes, more than Istio's {MAX_LENGTH}", pattern.len()));
    }
    let mut reader = Reader { rest: pattern, out: String::new(), last: Last::Nothing, depth: 0 };
    reader.expression()?;
    RegexBuilder::new(&format!("^(?:{})$", reader.out))
        .size_limit(MAX_PROGRAM)
        .dfa_size_limit(MAX_CACHE)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "the compiled expression is too large".into(),
            // The last line of a syntax error names the fault; those above it draw the rewritten expression.
            other => {
                other.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").into()
            }
        })
}

/// What a repetition would apply to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Nothing,
    Item,
    Repetition,
}

struct Reader<'a> {
    rest: &'a str,
    out: String,
    last: Last,
    depth: usize,
}

impl Reader<'_> {
    fn expression(&mut self) -> Result<(), String> {
        while let Some(c) = self.next() {
            let mut last = Last::Item;
            match c {
                '\\' => self.escape()?,
                '[' => self.class()?,
                '(' => {
                    self.group()?;
                    last = Last::Nothing;
                }
                ')' => {
                    self.depth = self.depth.checked_sub(1).ok_or("`)` without `(`")?;
                    self.out.push(')');
                }
                '|' => {
                    self.out.push('|');
                    last = Last::Nothing;
                }
                '*' | '+' | '?' => {
                    self.repetition(c.to_string())?;
                    last = Last::Repetition;
                }
                '{' => match self.bounds()? {
                    Some(bounds) => {
                        self.repetition(bounds)?;
                        last = Last::Repetition;
                    }
                    None => self.literal('{'),
                },
                '^' | '$' | '.' => self.out.push(c),
                _ => self.literal(c),
            }
            self.last = last;
        }
        if self.depth > 0 { Err("`(` without `)`".into()) } else { Ok(()) }
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

    fn repetition(&mut self, operator: String) -> Result<(), String> {
        match self.last {
            Last::Nothing => return Err(format!("`{operator}` has nothing to repeat")),
            Last::Repetition => return Err(format!("`{operator}` repeats a repetition")),
            Last::Item => self.out.push_str(&operator),
        }
        if self.take("?") {
            self.out.push('?');
        }
        Ok(())
    }

    /// The rest of `{n}`, `{n,}` or `{n,m}`; any other `{` is a plain character.
    fn bounds(&mut self) -> Result<Option<String>, String> {
        let Some((inside, rest)) = self.rest.split_once('}') else { return Ok(None) };
        let (low, high) = inside.split_once(',').unwrap_or((inside, inside));
        let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !number(low) || !(number(high) || high.is_empty()) {
            return Ok(None);
        }
        if [low, high].iter().any(|n| !n.is_empty() && n.parse().is_ok_and(|n: u32| n > MAX_REPEAT)) {
            return Err(format!("`{{{inside}}}` repeats more than {MAX_REPEAT} times"));
        }
        self.rest = rest;
        Ok(Some(format!("{{{inside}}}")))
    }

    fn group(&mut self) -> Result<(), String> {
        self.depth += 1;
        self.out.push('(');
        if !self.take("?") {
            return Ok(());
        }
        if ["=", "!", "<=", "<!"].iter().any(|around| self.rest.starts_with(around)) {
            return Err("RE2 has no look-around".into());
        }
        let end = self.rest.find(['>', ':', ')']).ok_or("`(?` is not closed")?;
        let (head, close) = (&self.rest[..end], self.rest.as_bytes()[end]);
        let named = head.starts_with("P<") || head.starts_with('<');
        let flags = !head.contains(|c| !"imsU-".contains(c));
        match close {
            b'>' if named => {}
            b':' if flags => {}
            b')' if flags => self.depth -= 1,
            _ => return Err(format!("`(?{}` is no group of RE2", &self.rest[..=end])),
        }
        self.out.push('?');
        self.out.push_str(&self.rest[..=end]);
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

    /// `\d`, `\pL` and their like, within brackets and without. Perl's are ASCII in RE2.
    fn shared_class(&mut self) -> Result<bool, String> {
        let ascii = match self.rest.chars().next() {
            Some('d') => "[0-9]",
            Some('D') => "[^0-9]",
            Some('s') => "[\\t\\n\\f\\r\\x20]",
            Some('S') => "[^\\t\\n\\f\\r\\x20]",
            Some('w') => "[0-9A-Za-z_]",
            Some('W') => "[^0-9A-Za-z_]",
            Some('p' | 'P') => {
                let length = match self.rest[1..].chars().next() {
                    Some('{') => self.rest.find('}').ok_or("`\\p{` is not closed")? + 1,
                    Some(c) => 1 + c.len_utf8(),
                    None => return Err("`\\p` names no class".into()),
                };
                self.out.push('\\');
                self.out.push_str(&self.rest[..length]);
                self.rest = &self.rest[length..];
                return Ok(true);
            }
            _ => return Ok(false),
        };
        self.out.push_str(ascii);
        self.rest = &self.rest[1..];
        Ok(true)
    }

    fn character_escape(&mut self) -> Result<char, String> {
        let c = self.next().ok_or("the expression ends in `\\`")?;
        Ok(match c {
            'a' => '\x07',
            'f' => '\x0C',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\x0B',
            'x' => return self.hexadecimal().ok_or_else(|| "`\\x` without a code point".into()),
            '0'..='9' => {
                return Err(format!("`\\{c}`: no back references, and octal is not read; write `\\x`"));
            }
            c if c.is_ascii_punctuation() && c != '_' || c == ' ' => c,
            c => return Err(format!("`\\{c}` is no escape of RE2")),
        })
    }

    fn hexadecimal(&mut self) -> Option<char> {
        let digits = match self.rest.strip_prefix('{') {
            Some(inside) => inside.split_once('}')?.0,
            None => self.rest.get(..2)?,
        };
        let braces = if self.rest.starts_with('{') { 2 } else { 0 };
        let valid = digits.bytes().all(|b| b.is_ascii_hexdigit());
        self.rest = &self.rest[digits.len() + braces..];
        u32::from_str_radix(digits, 16).ok().filter(|_| valid).and_then(char::from_u32)
    }

    fn class(&mut self) -> Result<(), String> {
        self.out.push('[');
        if self.take("^") {
            self.out.push('^');
        }
        let mut first = true;
        while first || !self.take("]") {
            first = false;
            if self.posix_class()? || self.rest.starts_with('\\') && self.class_escape()? {
                continue;
            }
            let low = self.class_character()?;
            self.literal(low);
            if self.rest.starts_with('-') && !self.rest.starts_with("-]") && self.rest.len() > 1 {
                self.rest = &self.rest[1..];
                let high = self.class_character()?;
                self.out.push('-');
                self.literal(high);
            }
        }
        self.out.push(']');
        Ok(())
    }

    fn class_escape(&mut self) -> Result<bool, String> {
        let before = self.rest;
        self.rest = &self.rest[1..];
        let found = self.shared_class()?;
        if !found {
            self.rest = before;
        }
        Ok(found)
    }

    fn class_character(&mut self) -> Result<char, String> {
        match self.next().ok_or("`[` without `]`")? {
            '\\' => self.character_escape(),
            c => Ok(c),
        }
    }

    fn posix_class(&mut self) -> Result<bool, String> {
        const NAMES: [&str; 14] = [
            "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
            "space", "upper", "word", "xdigit",
        ];
        let Some((name, rest)) = self.rest.strip_prefix("[:").and_then(|r| r.split_once(":]")) else {
            return Ok(false);
        };
        if !NAMES.contains(&name.strip_prefix('^').unwrap_or(name)) {
            return Err(format!("`[:{name}:]` is no class of RE2"));
        }
        self.out.push_str(&format!("[:{name}:]"));
        self.rest = rest;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::compile;

    fn full(pattern: &str, text: &str) -> bool {
        compile(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}")).is_match(text.as_bytes())
    }

    #[test]
    fn the_whole_text_must_match() {
        assert!(full("/users/[0-9]+", "/users/7") && !full("/users/[0-9]+", "/users/7/cart"));
        assert!(full("a|b", "b") && !full("a|b", "ab"));
        assert!(!full("a", "a\n"));
    }

    #[test]
    fn perl_classes_are_ascii_as_in_re2() {
        assert!(full(r"\d+", "42") && !full(r"\d", "٣"));
        assert!(full(r"[\w-.]+", "a_b-c.d") && !full(r"\w", "é"));
        assert!(full(r"é\b.", "éa") && full("é.", "éé"));
    }

    #[test]
    fn what_is_a_plain_character_in_re2_is_one_here() {
        for (pattern, text) in [
            ("/users/{id}", "/users/{id}"),
            ("a{,2}", "a{,2}"),
            (r"\<a\>", "<a>"),
            (r"\Qa.b*\E+", "a.b**"),
            ("[[a&&b~~]+", "[&~a"),
            ("[]a]", "]"),
            ("[+--]", ","),
            ("[a-]", "-"),
            ("#é ", "#é "),
            (r"\x41\x{42}", "AB"),
        ] {
            assert!(full(pattern, text), "{pattern}");
        }
    }

    #[test]
    fn what_re2_refuses_is_refused() {
        for pattern in [
            "",
            "*",
            "a**",
            "a++",
            "a{2}{3}",
            "a{1001}",
            "(?x)a",
            "(?u)a",
            "(?=a)",
            "(?<!a)b",
            r"(a)\1",
            r"\u0041",
            r"\_",
            r"[a-\d]",
            "a)(b",
            "(a",
            "[a",
            "a\\",
            "[[:foo:]]",
            "(?P=n)",
            "[b-a]",
        ] {
            assert!(compile(pattern).is_err(), "{pattern}");
        }
        assert!(compile(&"a".repeat(1025)).is_err());
        assert!(compile(r"((\pL{100}){100}){100}").is_err_and(|e| e.contains("too large")));
    }
}
