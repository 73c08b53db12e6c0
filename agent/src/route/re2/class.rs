//! Escapes and bracketed classes.

use super::Reader;

impl Reader<'_> {
    /// `\d`, `\pL` and their like, within brackets and without. Perl's are ASCII in RE2.
    pub(super) fn shared_class(&mut self) -> Result<bool, String> {
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
                let (class, rest) = self.rest.split_at(length);
                // RE2 alone knows `\p{^Greek}`.
                let swapped = if class.starts_with('p') { "P{" } else { "p{" };
                let class = class
                    .strip_prefix("p{^")
                    .or_else(|| class.strip_prefix("P{^"))
                    .map_or_else(|| class.to_owned(), |name| format!("{swapped}{name}"));
                self.out.push('\\');
                self.out.push_str(&class);
                self.rest = rest;
                return Ok(true);
            }
            _ => return Ok(false),
        };
        self.out.push_str(ascii);
        self.rest = &self.rest[1..];
        Ok(true)
    }

    pub(super) fn character_escape(&mut self) -> Result<char, String> {
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
            c if c.is_ascii_punctuation() || c == ' ' => c,
            c => return Err(format!("`\\{c}` is no escape known here")),
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

    pub(super) fn class(&mut self) -> Result<(), String> {
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
