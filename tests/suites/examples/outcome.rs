//! What became of a request, in the words of a table: read from the JSON of a dry run, whoever made it.

use serde_json::Value;

use crate::table::{Expected, Request, Row};

#[derive(Debug)]
pub(crate) struct Outcome(pub(crate) Value);

impl Outcome {
    /// The row and what is different, for a person; None when nothing is.
    pub(crate) fn differs(&self, row: &Row) -> Option<String> {
        let Row { place, request, expected } = row;
        let mut wrong = Vec::new();
        let sentence = self.sentence(expected);
        if sentence != expected.sentence {
            wrong.push(format!("it says  {}\nit is    {sentence}", expected.sentence));
        }
        if let Some(why) = &expected.why
            && !self.reasons().iter().any(|reason| reason.contains(why))
        {
            wrong.push(format!("it is not because of `{why}`, but of {:?}", self.reasons()));
        }
        let destinations = self.destinations();
        if !expected.destinations.is_empty() && expected.destinations != destinations {
            wrong.push(format!("it goes to {destinations:?}, not to {:?}", expected.destinations));
        }
        let copies = list(&self.0["copies"]);
        if copies.len() != list(&self.0["mirrors"]).len() {
            wrong.push("not every mirror has a copy".to_owned());
        }
        wrong.extend(copies.iter().flat_map(|copy| copy_differs(copy, expected)));
        let Request { method, url, .. } = request;
        let shown = || format!("{place}: {method} {url}\n{}\n{:#}", wrong.join("\n"), self.0);
        (!wrong.is_empty()).then(shown)
    }

    fn sentence(&self, expected: &Expected) -> String {
        let answer = &self.0;
        let Some(rule) = answer["ruleName"].as_str() else {
            let known = |key: &str| !answer[key].is_null();
            let what = match (known("service"), known("virtualService")) {
                (false, _) => "no service",
                (true, false) => "no VirtualService",
                (true, true) => "no rule",
            };
            return what.to_owned();
        };
        let mut sentence = rule.to_owned();
        if expected.sentence.split(", ").next().is_some_and(|rule| rule.contains(" of ")) {
            sentence += &format!(" of {}", text(&answer["virtualService"]));
        }
        sentence += match text(&answer["action"]) {
            "route" => " routes",
            "redirect" => " redirects",
            "directResponse" => " answers",
            other => panic!("there is no action {other}"),
        };
        let mirrors = list(&answer["mirrors"]);
        if mirrors.is_empty() {
            sentence += ", copies nothing";
        }
        for mirror in mirrors {
            let endpoints: Vec<_> = list(&mirror["endpoints"]).iter().map(text).collect();
            let endpoints = if endpoints.is_empty() { "nowhere".to_owned() } else { endpoints.join(" and ") };
            let percentage = mirror["percentage"].as_f64().unwrap();
            let of = if mirror["drawnFor"] == "connection" { " of connections" } else { "" };
            sentence += &format!(", copies {percentage} %{of} to {endpoints}");
        }
        sentence
    }

    /// Why nothing is copied, and why no earlier match was met.
    fn reasons(&self) -> Vec<&str> {
        let steps = list(&self.0["trace"]).iter().map(|step| text(&step["reason"]));
        self.0["unmirrored"].as_str().into_iter().chain(steps).collect()
    }

    fn destinations(&self) -> Vec<String> {
        let primaries = list(&self.0["primary"]);
        let destination = |to: &Value| {
            let subset = to["subset"].as_str().map_or_else(String::new, |subset| format!(" {subset}"));
            let weight = format!(" {} of {}", to["weight"], weights(primaries));
            let weight = if primaries.len() > 1 { weight } else { String::new() };
            format!("{}:{}{subset}{weight}", text(&to["host"]), to["port"])
        };
        primaries.iter().map(destination).collect()
    }
}

fn weights(primaries: &[Value]) -> i64 {
    primaries.iter().filter_map(|to| to["weight"].as_i64()).sum()
}

fn copy_differs(copy: &Value, expected: &Expected) -> Vec<String> {
    let dropped = copy["dropped"].as_str();
    if dropped.is_some() || expected.dropped.is_some() {
        let wrong = format!("the copy is dropped as {dropped:?}, not as {:?}", expected.dropped);
        return (dropped != expected.dropped.as_deref()).then_some(wrong).into_iter().collect();
    }
    let mut wrong = Vec::new();
    let head = format!("{} {}", text(&copy["method"]), text(&copy["path"]));
    if let Some(copied_as) = expected.copied_as.as_ref().filter(|written| **written != head) {
        wrong.push(format!("the copy is {head}, not {copied_as}"));
    }
    let values = |name: &str| -> Option<String> {
        let headers = list(&copy["headers"]).iter().filter(|header| header[0] == name.to_ascii_lowercase());
        let values: Vec<_> = headers.map(|header| text(&header[1])).collect();
        (!values.is_empty()).then(|| values.join(", "))
    };
    for (name, value) in &expected.with {
        let found = values(name);
        if found.as_ref() != Some(value) {
            wrong.push(format!("the copy has {name}: {found:?}, not {value}"));
        }
    }
    let kept = expected.without.iter().filter(|name| values(name).is_some());
    wrong.extend(kept.map(|name| format!("the copy has {name}")));
    wrong
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}"))
}
