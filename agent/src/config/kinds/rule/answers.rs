//! What a rule answers by itself or leaves to another VirtualService: redirect, directResponse, delegate, CORS.

use crate::config::{
    Code,
    field::{Faults, Field},
    fields::{Fields, Names::Foreign},
    istio::{CorsPolicy, Delegate, DerivePort, DirectResponse, Redirect, ResponseBody, UnmatchedPreflights},
    kinds::matches,
};

/// Istio's limit of a direct response's body, in bytes.
const MAX_BODY: usize = 1 << 20;
/// The methods Istio's validation knows.
const METHODS: &[(&str, ())] = &[
    ("GET", ()),
    ("HEAD", ()),
    ("POST", ()),
    ("PUT", ()),
    ("PATCH", ()),
    ("DELETE", ()),
    ("CONNECT", ()),
    ("OPTIONS", ()),
    ("TRACE", ()),
    ("*", ()),
];

pub(super) fn redirect(faults: &mut Faults<'_>, rule: &mut Fields<'_>) -> Option<Redirect> {
    rule.child(faults, "redirect", Foreign, |faults, fields, at| {
        let derive = &[
            ("FROM_PROTOCOL_DEFAULT", DerivePort::FromProtocolDefault),
            ("FROM_REQUEST_PORT", DerivePort::FromRequestPort),
        ];
        let read = Redirect {
            at,
            uri: fields.word(faults, "uri"),
            prefix_rewrite: fields.word(faults, "prefixRewrite"),
            authority: fields.word(faults, "authority"),
            port: fields.get("port").and_then(|field| field.port(faults)),
            derive_port: fields.one_of(faults, "derivePort", derive),
            scheme: fields.word(faults, "scheme"),
            code: fields.integer(faults, "redirectCode", 0..=399).filter(|code| code.value != 0),
        };
        fields.exclusive(faults, &["uri", "prefixRewrite"]);
        fields.exclusive(faults, &["port", "derivePort"]);
        if let Some(code) = read.code.as_ref().filter(|code| !(300..=399).contains(&code.value)) {
            let what = format!("{} is not within 300..=399", code.value);
            faults.add(Code::OutOfRange, &code.at, &fields.path_of("redirectCode"), what);
        }
        let names = ["uri", "prefixRewrite", "authority", "port", "derivePort", "scheme", "redirectCode"];
        if !names.iter().any(|name| fields.has(name)) {
            faults
                .add(Code::Missing, &read.at, fields.path(), "says nothing of where to")
                .help("write `uri`");
        }
        Some(read)
    })
}

pub(super) fn direct_response(faults: &mut Faults<'_>, rule: &mut Fields<'_>) -> Option<DirectResponse> {
    rule.child(faults, "directResponse", Foreign, |faults, fields, at| {
        let status = fields.required(faults, "status").and_then(|field| field.integer(faults, 200..=599));
        let body = fields.get("body").and_then(|field| {
            let body = field.map(faults, Foreign, |faults, fields, _| {
                fields.exclusive(faults, &["string", "bytes"]);
                let text = fields.text(faults, "string").map(|text| ResponseBody::Text(text.value));
                let bytes = fields.text(faults, "bytes").map(|bytes| ResponseBody::Bytes(bytes.value));
                text.or(bytes)
            })?;
            let (ResponseBody::Text(text) | ResponseBody::Bytes(text)) = &body;
            if text.len() > MAX_BODY {
                field.fault(faults, Code::OutOfRange, format!("larger than {MAX_BODY} bytes"));
            }
            Some(field.located(body))
        });
        Some(DirectResponse { at, status: status?, body })
    })
}

pub(super) fn delegate(faults: &mut Faults<'_>, rule: &mut Fields<'_>) -> Option<Delegate> {
    rule.child(faults, "delegate", Foreign, |faults, fields, at| {
        let name = fields.required(faults, "name").and_then(|field| field.text(faults));
        let namespace = fields.word(faults, "namespace");
        Some(Delegate { at, name: name?, namespace })
    })
}

pub(super) fn cors(faults: &mut Faults<'_>, rule: &mut Fields<'_>) -> Option<CorsPolicy> {
    rule.child(faults, "corsPolicy", Foreign, |faults, fields, at| {
        let preflights = &[
            ("UNSPECIFIED", UnmatchedPreflights::Forward),
            ("FORWARD", UnmatchedPreflights::Forward),
            ("IGNORE", UnmatchedPreflights::Ignore),
        ];
        let method = |faults: &mut Faults<'_>, item: &Field<'_>| {
            item.one_of(faults, METHODS)?;
            item.text(faults)
        };
        let allow_origin = fields.get("allowOrigin");
        if let Some(field) = &allow_origin {
            let hint = "write allowOrigins: [{exact: …}]";
            field.fault(faults, Code::Deprecated, "deprecated in Istio's API").help(hint);
        }
        Some(CorsPolicy {
            at,
            allow_origins: fields.items(faults, "allowOrigins", matches::plain),
            allow_origin: fields.texts(faults, "allowOrigin"),
            allow_methods: fields.items(faults, "allowMethods", method),
            allow_headers: fields.texts(faults, "allowHeaders"),
            expose_headers: fields.texts(faults, "exposeHeaders"),
            max_age: fields.duration(faults, "maxAge"),
            allow_credentials: fields.flag(faults, "allowCredentials").map(|flag| flag.value),
            unmatched_preflights: fields
                .one_of(faults, "unmatchedPreflights", preflights)
                .map_or(UnmatchedPreflights::Forward, |found| found.value),
        })
    })
}
