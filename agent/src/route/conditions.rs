//! From `http[].match[]` as written to a compiled block, and the filters that Istio runs before a block exists at all:
//! gateways, source and port.

use super::{
    findings::{Findings, Site},
    matcher::{Block, Field, FieldCondition, Text},
    re2,
    source::SourceCondition,
};
use crate::config::{
    Code, Located,
    istio::{HttpMatch, StringMatch},
};

/// Keys of `headers` that Istio's reference says are ignored: they have fields of their own.
const OWN_FIELDS: [&str; 4] = ["uri", "scheme", "method", "authority"];

/// Why a match block does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Absent {
    /// It is for another service port.
    Port(u16),
    /// It is for gateways.
    Gateways,
    /// It asks for the client, and no workload is known.
    Source,
    Faulty,
}

/// Reads one match block; every fault of it is reported, not the first one.
pub(super) struct Reader<'f, 'r> {
    findings: &'f mut Findings<'r>,
    site: Site<'f>,
    /// The source is to be asked for at run time: some workloads are known.
    sources_known: bool,
    /// A fault makes the block worthless, and the configuration refused.
    faulty: bool,
}

impl<'f, 'r> Reader<'f, 'r> {
    pub(super) fn new(findings: &'f mut Findings<'r>, site: Site<'f>, sources_known: bool) -> Self {
        Self { findings, site, sources_known, faulty: false }
    }

    /// Why a block does not exist for mesh traffic to this service port is an error.
    pub(super) fn block(mut self, written: &HttpMatch, port: u16) -> Result<Block, Absent> {
        self.faulty = written.faulty;
        let mut block = self.conditions(written);
        let source = self.source(written);
        match &written.port {
            Some(wanted) if wanted.value != port => Err(Absent::Port(wanted.value)),
            _ if self.faulty => Err(Absent::Faulty),
            _ => {
                block.source = source?;
                block.fields.shrink_to_fit();
                block.query.shrink_to_fit();
                Ok(block)
            }
        }
    }

    fn conditions(&mut self, written: &HttpMatch) -> Block {
        self.report_unheard_of(written);
        let mut block = Block::any();
        let fields = [written.scheme.is_some(), written.method.is_some(), written.authority.is_some()];
        let fields = fields.into_iter().filter(|is_written| *is_written).count();
        block.fields.reserve_exact(fields + written.headers.len() + written.without_headers.len());
        block.query.reserve_exact(written.query_params.len());
        if let Some(uri) = &written.uri {
            block.path = self.path(uri, written.ignore_uri_case);
        }
        for (name, field, written) in [
            ("scheme", Field::Scheme, written.scheme.as_deref()),
            ("method", Field::Method, written.method.as_ref()),
            ("authority", Field::Authority, written.authority.as_deref()),
        ] {
            if let Some(written) = written {
                let site = self.site;
                let text = self.text(written, &site.field(name));
                block.fields.push(FieldCondition { field, text, without: false });
            }
        }
        for (key, written) in &written.headers {
            let site = self.site;
            let site = site.key("headers", &key.value);
            if OWN_FIELDS.contains(&key.value.as_str()) {
                let what = "is ignored by Istio";
                let hint = format!("use the field `{}` of the match", key.value);
                self.findings.add(Code::NotHonoured, &key.at, &site, what, hint);
            } else if key.value.starts_with('@') {
                self.faulty = true;
                let what = "claims of tokens are not known here, so this block never matches";
                self.findings.add(Code::NotHonoured, &key.at, &site, what, None);
            } else {
                let text = self.text(written, &site);
                block.fields.push(FieldCondition { field: field(&key.value), text, without: false });
            }
        }
        for (key, written) in &written.without_headers {
            // Istio's validation lets `regex: "*"` stand for presence here, and only here.
            let site = self.site;
            let presence = written.value == StringMatch::Regex("*".into());
            let text = match presence {
                true => Text::Present,
                false => self.text(written, &site.key("withoutHeaders", &key.value)),
            };
            block.fields.push(FieldCondition { field: field(&key.value), text, without: true });
        }
        for (key, written) in &written.query_params {
            let site = self.site;
            let text = self.text(written, &site.key("queryParams", &key.value));
            block.query.push((key.value.as_str().into(), text));
        }
        block
    }

    /// Texts that Istio takes and no client's request has.
    fn report_unheard_of(&mut self, written: &HttpMatch) {
        let site = self.site;
        if let Some(Located { value: StringMatch::Exact(method) | StringMatch::Prefix(method), at }) =
            &written.method
            && method.bytes().any(|b| b.is_ascii_lowercase())
        {
            let what = format!("`{method}` matches no method that clients send");
            let hint = format!("methods are compared by letter: `{}`", method.to_ascii_uppercase());
            self.findings.add(Code::Unreachable, at, &site.field("method"), what, hint);
        }
        if let Some(Located { value: StringMatch::Exact(path) | StringMatch::Prefix(path), at }) =
            &written.uri
            && !path.starts_with(['/', '*'])
            && !path.is_empty()
        {
            let what = format!("`{path}` matches no path that clients send");
            let hint = format!("paths begin with a slash: `/{path}`");
            self.findings.add(Code::Unreachable, at, &site.field("uri"), what, hint);
        }
    }

    /// A match without a kind is the default here, prefix `/`.
    fn path(&mut self, written: &Located<StringMatch>, any_case: bool) -> Text {
        let bytes = |text: &str| text.as_bytes().into();
        match &written.value {
            StringMatch::Exact(text) if any_case => Text::ExactAnyCase(bytes(text)),
            StringMatch::Prefix(text) if any_case => Text::PrefixAnyCase(bytes(text)),
            StringMatch::Prefix(text) => Text::Prefix(bytes(text)),
            StringMatch::Empty => Text::Prefix(bytes("/")),
            StringMatch::Exact(_) | StringMatch::Regex(_) => {
                let site = self.site;
                self.text(written, &site.field("uri"))
            }
        }
    }

    /// A fault makes the block worthless.
    fn text(&mut self, written: &Located<StringMatch>, site: &Site<'_>) -> Text {
        text(written, site, self.findings).unwrap_or_else(|| {
            self.faulty = true;
            Text::Present
        })
    }

    /// Mesh traffic is all there is here. Who sent it is looked up by address when it arrives.
    fn source(&mut self, written: &HttpMatch) -> Result<SourceCondition, Absent> {
        if let Some(gateway) = written.gateways.first() {
            // Istio's `sourceMatchHTTP`: with gateways written, labels and namespace are not looked at.
            if written.gateways.iter().any(|g| g.value == "mesh") {
                return Ok(SourceCondition::default());
            }
            let what = "names no `mesh`: this block is for gateways, whose traffic is not captured";
            self.findings.add(Code::NotHonoured, &gateway.at, &self.site.field("gateways"), what, None);
            return Err(Absent::Gateways);
        }
        let condition = SourceCondition {
            namespace: written.source_namespace.as_deref().filter(|name| !name.is_empty()).map(Into::into),
            labels: written.source_labels.clone(),
        };
        if condition.is_empty() || self.sources_known {
            return Ok(condition);
        }
        let labels = (!condition.labels.is_empty()).then_some("sourceLabels");
        let namespace = condition.namespace.as_ref().map(|_| "sourceNamespace");
        for field in labels.into_iter().chain(namespace) {
            let what =
                "clients are known by Pods and WorkloadEntries, and there are none: this block never matches";
            self.findings.add(Code::NotHonoured, &written.at, &self.site.field(field), what, None);
        }
        Err(Absent::Source)
    }
}

/// What a value is compared with; a fault is reported.
pub(super) fn text(
    written: &Located<StringMatch>,
    site: &Site<'_>,
    findings: &mut Findings<'_>,
) -> Option<Text> {
    Some(match &written.value {
        StringMatch::Exact(text) => Text::Exact(text.as_bytes().into()),
        StringMatch::Prefix(text) => Text::Prefix(text.as_bytes().into()),
        StringMatch::Empty => Text::Present,
        StringMatch::Regex(pattern) => match re2::compile(pattern) {
            Ok(regex) => Text::Regex(Box::new(regex)),
            Err(fault) => {
                let hint =
                    (pattern == "*").then(|| "write `{}` to ask for presence, `.*` for anything".into());
                let what = format_args!("`{pattern}`: {fault}");
                findings.add(Code::BadRegex, &written.at, &site.field("regex"), what, hint);
                return None;
            }
        },
    })
}

/// Envoy keeps method, path, scheme and host of any HTTP version as pseudo headers.
pub(super) fn field(key: &str) -> Field {
    match key.to_ascii_lowercase().as_str() {
        "host" | ":authority" => Field::Authority,
        ":method" => Field::Method,
        ":path" => Field::Path,
        ":scheme" => Field::Scheme,
        name => Field::Header(name.into()),
    }
}
