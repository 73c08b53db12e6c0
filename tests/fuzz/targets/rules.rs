//! The compiled matcher against the plainest reading of the same words, over rules and requests made from the input.

mod obvious;

use std::sync::LazyLock;

use arbitrary::{Result, Unstructured};
use umbra::{
    config::{
        Located, Report, Resources,
        istio::{HttpMatch, HttpRoute, StringMatch},
        read,
    },
    message::{BodyLength, Header, RequestHead, Version},
    record::Accounts,
    route::{Decision, Snapshot},
};

use crate::Target;

pub(crate) const TARGET: Target = Target {
    name: "rules",
    run: |data| {
        check(data);
    },
    max_len: 1024,
    words: Vec::new,
    seeds: Vec::new,
};

/// `my-app` with two versions, and a virtual service with one rule of one match, from which the others are made.
const WORLD: &str = "\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: my-app}
spec:
  hosts: [my-app.default.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}]
  endpoints: [{address: 10.0.0.1, labels: {version: v1}}, {address: 10.0.0.2, labels: {version: v2}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: my-app}
spec: {host: my-app, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: my-app}
spec:
  hosts: [my-app]
  http:
  - match: [{uri: {prefix: /}}]
    route: [{destination: {host: my-app, subset: v1}}]
    mirror: {host: my-app, subset: v2}
";

static BASE: LazyLock<Resources> = LazyLock::new(|| {
    let (mut resources, mut report) = (Resources::default(), Report::default());
    read("world.yaml", WORLD, &mut resources, &mut report);
    assert!(report.diagnostics.is_empty(), "{report:?}");
    resources
});

/// Words few enough for conditions and requests to meet often.
const WORDS: &[&str] =
    &["", "a", "A", "ab", "aB", "b", "a,b", "/", "/a", "/A", "/a/b", "/ab", "GET", "POST", "http", "my-app"];
const EXPRESSIONS: &[&str] = &["a", "/a.*", ".*", "/[ab]+(/b)?", "(?i)ab", "a|b", "GET|POST", r"[\w,]+"];

#[derive(Clone, Debug)]
struct Request {
    method: &'static str,
    target: String,
    headers: Vec<(&'static str, &'static str)>,
}

/// Every request against all rules; how many there were.
pub fn check(data: &[u8]) -> usize {
    let mut bytes = Unstructured::new(data);
    let Ok(rules) = rules(&mut bytes) else { return 0 };
    let mut resources = BASE.clone();
    resources.virtual_services[0].http.clone_from(&rules);
    let (accounts, mut report) = (Accounts::default(), Report::default());
    let snapshot = Snapshot::compile(&resources, &accounts, &mut report);
    let port = snapshot.inbound("10.0.0.1:8080".parse().unwrap());
    let mut asked = 0;
    while asked < 100 && !(asked > 0 && bytes.is_empty()) {
        let Ok(request) = request(&mut bytes) else { break };
        let headers: Vec<_> =
            request.headers.iter().map(|(name, value)| Header { name, value: value.as_bytes() }).collect();
        let head = RequestHead {
            method: request.method,
            target: &request.target,
            version: Version::Http11,
            headers: &headers,
            body: BodyLength::None,
            encrypted: false,
        };
        let compiled = port.map(|port| match port.decide_for(&head, None) {
            Decision::Rule(rule) => rule.account.key.rule.clone(),
            Decision::NoRule => "-".into(),
            Decision::NoHost => "?".into(),
        });
        assert_eq!(compiled, obvious::rule(&rules, &request), "{rules:#?}\n{request:?}");
        asked += 1;
    }
    asked
}

fn rules(bytes: &mut Unstructured<'_>) -> Result<Vec<HttpRoute>> {
    let template = &BASE.virtual_services[0].http[0];
    let rule = |bytes: &mut Unstructured<'_>, number| -> Result<HttpRoute> {
        let matches = (0..bytes.int_in_range(0..=2)?).map(|_| block(bytes)).collect::<Result<_>>()?;
        Ok(HttpRoute { name: Some(format!("r{number}")), matches, ..template.clone() })
    };
    (0..bytes.int_in_range(1..=3)?).map(|number| rule(bytes, number)).collect()
}

/// Each condition is rare, so that blocks with few of them are common.
fn block(bytes: &mut Unstructured<'_>) -> Result<HttpMatch> {
    let template = &BASE.virtual_services[0].http[0].matches[0];
    let port = rarely(bytes, |bytes| Ok(*bytes.choose(&[80, 81])?))?;
    Ok(HttpMatch {
        uri: rarely(bytes, condition)?,
        ignore_uri_case: bytes.arbitrary()?,
        scheme: rarely(bytes, condition)?.map(Box::new),
        method: rarely(bytes, condition)?,
        authority: rarely(bytes, condition)?.map(Box::new),
        headers: named(bytes)?,
        without_headers: named(bytes)?,
        query_params: named(bytes)?,
        port: port.map(located).map(Box::new),
        ..template.clone()
    })
}

fn located<T>(value: T) -> Located<T> {
    Located { value, at: BASE.virtual_services[0].http[0].at.clone() }
}

fn rarely<T>(
    bytes: &mut Unstructured<'_>,
    make: impl Fn(&mut Unstructured<'_>) -> Result<T>,
) -> Result<Option<T>> {
    if bytes.ratio(3, 10)? { make(bytes).map(Some) } else { Ok(None) }
}

fn named(bytes: &mut Unstructured<'_>) -> Result<Vec<(Located<String>, Located<StringMatch>)>> {
    let one = |bytes: &mut Unstructured<'_>| {
        Ok((located((*bytes.choose(&["x", "y"])?).to_owned()), condition(bytes)?))
    };
    Ok(rarely(bytes, one)?.into_iter().collect())
}

fn condition(bytes: &mut Unstructured<'_>) -> Result<Located<StringMatch>> {
    Ok(located(match bytes.int_in_range(0..=3)? {
        0 => StringMatch::Exact((*bytes.choose(WORDS)?).to_owned()),
        // An empty prefix is refused before it is compiled.
        1 => StringMatch::Prefix((*bytes.choose(&WORDS[1..])?).to_owned()),
        2 => StringMatch::Regex((*bytes.choose(EXPRESSIONS)?).to_owned()),
        _ => StringMatch::Empty,
    }))
}

fn request(bytes: &mut Unstructured<'_>) -> Result<Request> {
    let absolute = if bytes.ratio(1, 5)? { *bytes.choose(&["http://my-app", "HTTPS://ab"])? } else { "" };
    let path = *bytes.choose(&["", "/", "/a", "/A", "/a/b", "/ab", "/b"])?;
    let path = if absolute.is_empty() && path.is_empty() { "/" } else { path };
    let mut target = [absolute, path].concat();
    for index in 0..rarely(bytes, |bytes| bytes.int_in_range(0..=2))?.unwrap_or(0) {
        target.push(if index == 0 { '?' } else { '&' });
        target.push_str(bytes.choose(&["x", "y", "z"])?);
        if bytes.ratio(1, 2)? {
            target.push('=');
            target.push_str(bytes.choose(WORDS)?);
        }
    }
    if !path.is_empty() && bytes.ratio(1, 10)? {
        target.push_str("#x?x=a");
    }
    let mut headers = Vec::new();
    if bytes.ratio(4, 5)? {
        headers.push(("Host", *bytes.choose(WORDS)?));
    }
    for _ in 0..bytes.int_in_range(0..=2)? {
        headers.push((*bytes.choose(&["x", "X", "y"])?, *bytes.choose(WORDS)?));
    }
    Ok(Request { method: bytes.choose(&["GET", "POST", "get"])?, target, headers })
}
