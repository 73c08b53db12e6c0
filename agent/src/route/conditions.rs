//! From `http[].match[]` as written to a compiled block, and the filters that Istio runs before a block exists at all:
//! gateways, source and port.

use super::{
    findings::{Findings, Site},
    matcher::{Block, Field, FieldCondition, Text},
    re2,
};
use crate::config::{
    Code, Located,
    istio::{HttpMatch, StringMatch},
};

/// Keys of `headers` that Istio's reference says are ignored: they have fields of their own.
const OWN_FIELDS: [&str; 4] = ["uri", "scheme", "method", "authority"];

/// Reads one match block; every fault of it is reported, not the first one.
pub(super) struct Reader<'f, 'r> {
    findings: &'f mut Findings<'r>,
    site: Site,
    /// A fault makes the block worthless, and the configuration refused.
    faulty: bool,
}

impl<'f, 'r> Reader<'f, 'r> {
    pub(super) fn new(findings: &'f mut Findings<'r>, site: Site) -> Self {
        Self { findings, site, faulty: false }
    }

    /// None when the block does not exist for mesh traffic to this service port.
    pub(super) fn block(mut self, written: &HttpMatch, port: u16) -> Option<Block> {
        let block = self.conditions(written);
        let for_port = written.port.as_ref().is_none_or(|p| p.value == port);
        let for_source = self.source(written);
        (for_port && for_source && !self.faulty).then_some(block)
    }

    fn conditions(&mut self, written: &HttpMatch) -> Block {
        let mut block = Block::any();
        if let Some(uri) = &written.uri {
            block.path = self.path(uri, written.ignore_uri_case);
        }
        for (name, field, written) in [
            ("scheme", Field::Scheme, &written.scheme),
            ("method", Field::Method, &written.method),
            ("authority", Field::Authority, &written.authority),
        ] {
            if let Some(written) = written {
                let text = self.text(written, name);
                block.fields.push(FieldCondition { field, text, without: false });
            }
        }
        for (key, written) in &written.headers {
            let name = format!("headers[{}]", key.value);
            if OWN_FIELDS.contains(&key.value.as_str()) {
                let what = "is ignored by Istio";
                let hint = format!("use the field `{}` of the match", key.value);
                self.findings.add(Code::NotHonoured, &key.at, &self.site.field(name), what, hint);
            } else if key.value.starts_with('@') {
                self.faulty = true;
                let what = "claims of tokens are not known here, so this block never matches";
                self.findings.add(Code::NotHonoured, &key.at, &self.site.field(name), what, None);
            } else {
                let text = self.text(written, &name);
                block.fields.push(FieldCondition { field: field(&key.value), text, without: false });
            }
        }
        for (key, written) in &written.without_headers {
            // Istio's validation lets `regex: "*"` stand for presence here, and only here.
            let presence = written.value == StringMatch::Regex("*".into());
            let text = match presence {
                true => Text::Present,
                false => self.text(written, &format!("withoutHeaders[{}]", key.value)),
            };
            block.fields.push(FieldCondition { field: field(&key.value), text, without: true });
        }
        for (key, written) in &written.query_params {
            let text = self.text(written, &format!("queryParams[{}]", key.value));
            block.query.push((key.value.as_str().into(), text));
        }
        block
    }

    /// A match without a kind is the default here, prefix `/`.
    fn path(&mut self, written: &Located<StringMatch>, any_case: bool) -> Text {
        let bytes = |text: &str| text.as_bytes().into();
        match &written.value {
            StringMatch::Exact(text) if any_case => Text::ExactAnyCase(bytes(text)),
            StringMatch::Prefix(text) if any_case => Text::PrefixAnyCase(bytes(text)),
            StringMatch::Prefix(text) => Text::Prefix(bytes(text)),
            StringMatch::Empty => Text::Prefix(bytes("/")),
            StringMatch::Exact(_) | StringMatch::Regex(_) => self.text(written, "uri"),
        }
    }

    fn text(&mut self, written: &Located<StringMatch>, field: &str) -> Text {
        match &written.value {
            StringMatch::Exact(text) => Text::Exact(text.as_bytes().into()),
            StringMatch::Prefix(text) => Text::Prefix(text.as_bytes().into()),
            StringMatch::Empty => Text::Present,
            StringMatch::Regex(pattern) => match re2::compile(pattern) {
                Ok(regex) => Text::Regex(regex),
                Err(fault) => {
                    self.faulty = true;
                    let hint =
                        (pattern == "*").then(|| "write `{}` to ask for presence, `.*` for anything".into());
                    let site = self.site.field(field).field("regex");
                    self.findings.add(
                        Code::BadRegex,
                        &written.at,
                        &site,
                        format_args!("`{pattern}`: {fault}"),
                        hint,
                    );
                    Text::Present
                }
            },
        }
    }

    /// Mesh traffic is all there is here; who sent it is not known where it arrives.
    fn source(&mut self, written: &HttpMatch) -> bool {
        if let Some(gateway) = written.gateways.first() {
            // Istio's `sourceMatchHTTP`: with gateways written, labels and namespace are not looked at.
            let mesh = written.gateways.iter().any(|g| g.value == "mesh");
            if !mesh {
                let what = "names no `mesh`: this block is for gateways, whose traffic is not captured";
                self.findings.add(Code::NotHonoured, &gateway.at, &self.site.field("gateways"), what, None);
            }
            return mesh;
        }
        let labels = (!written.source_labels.is_empty()).then_some("sourceLabels");
        let namespace = written.source_namespace.as_ref().map(|_| "sourceNamespace");
        for field in labels.into_iter().chain(namespace) {
            let what = "the client is not known where its request arrives, so this block never matches";
            self.findings.add(Code::NotHonoured, &written.at, &self.site.field(field), what, None);
        }
        labels.or(namespace).is_none()
    }
}

/// Envoy keeps method, path, scheme and host of any HTTP version as pseudo headers.
fn field(key: &str) -> Field {
    match key.to_ascii_lowercase().as_str() {
        "host" | ":authority" => Field::Authority,
        ":method" => Field::Method,
        ":path" => Field::Path,
        ":scheme" => Field::Scheme,
        name => Field::Header(name.into()),
    }
}
