//! Reads a table. The form is told in `main.rs`; a line that has it not fails the test.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) example: PathBuf,
    /// Where requests arrive, unless a row has another place.
    pub(crate) endpoint: Option<SocketAddr>,
    pub(crate) warnings: Vec<String>,
    pub(crate) rows: Vec<Row>,
}

#[derive(Debug)]
pub(crate) struct Row {
    /// `uris.txt:12`
    pub(crate) place: String,
    pub(crate) request: Request,
    pub(crate) expected: Expected,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) client: Client,
    pub(crate) endpoint: Option<SocketAddr>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Client {
    #[default]
    Unknown,
    Address(IpAddr),
    Workload {
        namespace: String,
        labels: BTreeMap<String, String>,
    },
}

#[derive(Debug, Default)]
pub(crate) struct Expected {
    pub(crate) sentence: String,
    pub(crate) why: Option<String>,
    /// The rule's destinations; none written, none compared.
    pub(crate) destinations: Vec<String>,
    /// Why no copy is ever made, though the rule mirrors.
    pub(crate) dropped: Option<String>,
    /// Method and path of each copy.
    pub(crate) copied_as: Option<String>,
    pub(crate) with: Vec<(String, String)>,
    pub(crate) without: Vec<String>,
}

impl Table {
    pub(crate) fn read(name: &str, example: &Path, text: &str) -> Self {
        let (name, example) = (name.to_owned(), example.to_owned());
        let mut table = Self { name, example, endpoint: None, warnings: Vec::new(), rows: Vec::new() };
        for (number, line) in text.lines().enumerate() {
            let place = format!("{}.txt:{}", table.name, number + 1);
            let known = match line.strip_prefix(' ') {
                _ if line.trim().is_empty() || line.starts_with('#') => Some(()),
                None => table.begin(line, &place),
                Some(line) => table.rows.last_mut().and_then(|row| row.go_on(line.trim())),
            };
            assert!(known.is_some(), "{place}: {line}: no such line here");
        }
        let unfinished = table.rows.iter().find(|row| row.expected.sentence.is_empty());
        assert!(unfinished.is_none(), "no `=>`: {unfinished:?}");
        table
    }

    /// A line that is not indented.
    fn begin(&mut self, line: &str, place: &str) -> Option<()> {
        if let Some(endpoint) = line.strip_prefix("arrives at ") {
            self.endpoint = Some(endpoint.parse().ok()?);
        } else if let Some(codes) = line.strip_prefix("warns ") {
            self.warnings = codes.split(' ').map(str::to_owned).collect();
        } else {
            let (method, url) = line.split_once(' ')?;
            let request = Request { method: method.into(), url: url.into(), ..Request::default() };
            self.rows.push(Row { place: place.into(), request, expected: Expected::default() });
        }
        Some(())
    }
}

impl Row {
    /// A line that is indented: of the request up to the sentence, then of the copies.
    fn go_on(&mut self, line: &str) -> Option<()> {
        let (word, rest) = line.split_once(' ')?;
        if self.expected.sentence.is_empty() {
            match word {
                "with" => self.request.headers.push(header(rest)?),
                "from" => self.request.client = Client::read(rest)?,
                "at" => self.request.endpoint = Some(rest.parse().ok()?),
                "=>" => {
                    let (sentence, why) =
                        rest.split_once(": ").map_or((rest, None), |(it, why)| (it, Some(why)));
                    self.expected.sentence = sentence.to_owned();
                    self.expected.why = why.map(str::to_owned);
                }
                _ => return None,
            }
        } else {
            match word {
                "to" => self.expected.destinations.push(rest.to_owned()),
                "dropped" => self.expected.dropped = Some(rest.strip_prefix("as ")?.to_owned()),
                "as" => self.expected.copied_as = Some(rest.to_owned()),
                "with" => self.expected.with.push(header(rest)?),
                "without" => self.expected.without.push(rest.to_owned()),
                _ => return None,
            }
        }
        Some(())
    }
}

impl Client {
    fn read(text: &str) -> Option<Self> {
        if let Ok(address) = text.parse() {
            return Some(Self::Address(address));
        }
        let mut words = text.split(' ');
        let namespace = words.next()?.to_owned();
        let labels = words.map(|label| label.split_once('=').map(|(key, value)| (key.into(), value.into())));
        Some(Self::Workload { namespace, labels: labels.collect::<Option<_>>()? })
    }
}

fn header(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once(':')?;
    Some((name.to_owned(), value.trim().to_owned()))
}
