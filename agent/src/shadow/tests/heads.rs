//! The head of a copy, without any socket.

use http::{HeaderName, HeaderValue, Request};
use proptest::prelude::*;

use super::{BodyLength, Header, RequestHead, Version};
use crate::{
    route::{
        Changes, HeaderChanges, HostChange, Marker, Matched, PathChange, Policy, Redact, Settings, Template,
    },
    shadow::{
        head::{PackedHead, Unsendable},
        rewrite::Rewriting,
    },
};

fn copy(target: &str, fields: &[(&str, &str)], body: BodyLength) -> Result<Request<()>, Unsendable> {
    let headers: Vec<_> =
        fields.iter().map(|(name, value)| Header { name, value: value.as_bytes() }).collect();
    let head = RequestHead {
        method: "POST",
        target,
        version: Version::Http11,
        headers: &headers,
        body,
        encrypted: false,
    };
    to_request(&head, None, None)
}

fn to_request(
    head: &RequestHead<'_>,
    changes: Option<&Changes>,
    policy: Option<&Policy>,
) -> Result<Request<()>, Unsendable> {
    let rewriting = Rewriting { changes, policy, marker: &HeaderName::from_static("x-mark") };
    PackedHead::pack(head, "10.0.0.9:4711".parse().unwrap()).to_request(rewriting, &Settings::default(), ())
}

/// Target and fields as they go out, the marker left away.
fn sent(target: &str, fields: &[(&str, &str)], body: BodyLength) -> Vec<String> {
    let request = copy(target, fields, body).unwrap();
    assert_eq!(request.headers()["x-mark"], "1");
    let fields = request.headers().iter().filter(|(name, _)| *name != "x-mark");
    std::iter::once(request.uri().to_string())
        .chain(fields.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())))
        .collect()
}

#[test]
fn an_absolute_target_names_the_host() {
    let none = BodyLength::None;
    let fields = [("A", "1"), ("Host", "other")];
    assert_eq!(sent("http://u:p@shop:81/x?y", &fields, none), ["/x?y", "a: 1", "host: shop:81"]);
    assert_eq!(sent("http://shop?y", &[], none), ["/?y", "host: shop"]);
    assert_eq!(sent("http://shop", &[], none), ["/", "host: shop"]);
    assert_eq!(sent("/go?to=http://shop/", &[("Host", "a")], none), ["/go?to=http://shop/", "host: a"]);
    assert_eq!(sent("*", &[("Host", "a")], none), ["*", "host: a"]);
}

#[test]
fn http_1_0_without_a_host_gets_an_empty_one() {
    assert_eq!(sent("/", &[("A", "1")], BodyLength::None), ["/", "host: ", "a: 1"]);
}

#[test]
fn what_belongs_to_the_connection_stays_there() {
    let fields = [
        ("Host", "a"),
        ("Connection", "close, X-One"),
        ("connection", "x-two,TE"),
        ("X-One", "1"),
        ("X-Two", "2"),
        ("X-Three", "3"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "keep-alive"),
        ("TE", "gzip;q=0.5, trailers"),
        ("Expect", "100-continue"),
    ];
    assert_eq!(sent("/", &fields, BodyLength::None), ["/", "host: a", "x-three: 3", "te: trailers"]);
    assert_eq!(sent("/", &[("Host", "a"), ("TE", "gzip")], BodyLength::None), ["/", "host: a"]);
    // Nobody can talk a copy out of its host or its framing.
    let fields = [("Host", "a"), ("Connection", "host, content-length"), ("Content-Length", "3")];
    assert_eq!(sent("/", &fields, BodyLength::Known(3)), ["/", "host: a", "content-length: 3"]);
}

#[test]
fn framing_follows_the_body_and_stays_in_its_place() {
    let host = ("Host", "a");
    let length = [host, ("Content-Length", "7"), ("X", "1")];
    assert_eq!(sent("/", &length, BodyLength::Known(7)), ["/", "host: a", "content-length: 7", "x: 1"]);
    let chunked = [host, ("Transfer-Encoding", "chunked"), ("Trailer", "X"), ("X", "1")];
    let expected = ["/", "host: a", "transfer-encoding: chunked", "trailer: X", "x: 1"];
    assert_eq!(sent("/", &chunked, BodyLength::Streamed), expected);
    let empty = [host, ("Content-Length", "0")];
    assert_eq!(sent("/", &empty, BodyLength::None), ["/", "host: a", "content-length: 0"]);
    // HTTP/2 streams need no header to say that a body follows.
    assert_eq!(sent("/", &[host], BodyLength::Streamed), ["/", "host: a", "transfer-encoding: chunked"]);
    assert_eq!(sent("/", &[host], BodyLength::None), ["/", "host: a"]);
}

#[test]
fn a_request_of_http2_becomes_one_of_http1() {
    let fields = [("host", "shop"), ("cookie", "a=1; b=2"), ("te", "trailers"), ("x-one", "1")];
    let headers = fields.map(|(name, value)| Header { name, value: value.as_bytes() });
    let (version, body) = (Version::Http2, BodyLength::Streamed);
    let head =
        RequestHead { method: "POST", target: "/x?y", version, headers: &headers, body, encrypted: false };
    let copy = to_request(&head, None, None).unwrap();
    assert_eq!(copy.uri(), "/x?y");
    let fields: Vec<_> =
        copy.headers().iter().map(|(n, v)| format!("{n}: {}", v.to_str().unwrap())).collect();
    assert_eq!(
        fields,
        ["host: shop", "cookie: a=1; b=2", "x-one: 1", "transfer-encoding: chunked", "x-mark: 1"]
    );
}

#[test]
fn what_no_client_may_send_is_refused() {
    let none = BodyLength::None;
    let refused = |target, fields: &[(&str, &str)]| copy(target, fields, none).is_err();
    assert!(refused("/a#b", &[]));
    assert!(refused("/a b", &[]));
    assert!(refused("relative", &[]));
    assert!(refused("/", &[("na me", "x")]));
    assert!(refused("/", &[("name", "x\r\ny: z")]));
    assert!(!refused("/%zz|\"{}[]", &[("name", "\u{e9}\t ")]));
}

/// Trap 18.
#[test]
fn a_copy_shows_what_its_rule_changes() {
    let list =
        |name: &'static str, value| vec![(HeaderName::from_static(name), Template::new(value).unwrap())];
    let step = HeaderChanges {
        remove: vec![HeaderName::from_static("cookie"), HeaderName::from_static("x-mark")],
        set: list("x-from", "%REQ(:authority)%"),
        add: list("x-a", "2"),
    };
    let changes = Changes {
        path: Some(PathChange::Replace { matched: Matched::Prefix(3), with: "/v2".into() }),
        authority: Some(HeaderValue::from_static("other")),
        headers: vec![step],
    };
    let headers = [("Host", "shop"), ("Cookie", "c"), ("X-A", "1")];
    let headers = headers.map(|(name, value)| Header { name, value: value.as_bytes() });
    let (version, body) = (Version::Http11, BodyLength::None);
    let head =
        RequestHead { method: "GET", target: "/v1/x?y", version, headers: &headers, body, encrypted: false };
    let copy = to_request(&head, Some(&changes), None).unwrap();
    assert_eq!(copy.uri(), "/v2/x?y");
    let fields: Vec<_> =
        copy.headers().iter().map(|(n, v)| format!("{n}: {}", v.to_str().unwrap())).collect();
    assert_eq!(fields, ["host: other", "x-a: 1", "x-a: 2", "x-from: shop", "x-mark: 1"]);
}

/// The order in which policies change a copy: redaction, then headers, then the host, then the marker.
#[test]
fn a_copy_shows_what_its_policies_change_after_its_rule() {
    let name = HeaderName::from_static;
    let list = |header, value| vec![(name(header), Template::new(value).unwrap())];
    let rule = HeaderChanges { set: list("authorization", "of the rule"), ..HeaderChanges::default() };
    let changes = Changes { headers: vec![rule], ..Changes::default() };
    let of_policy = HeaderChanges {
        remove: vec![name("x-billing")],
        set: [list("x-path", "%REQ(:path)%"), list("x-user", "%REQ(authorization)%")].concat(),
        add: list("x-trail", "umbra"),
    };
    let mut policy = Policy {
        headers: Some(of_policy),
        redact: Some(Redact {
            headers: vec![name("authorization"), name("x-absent")],
            query: vec!["token".into()],
            replacement: Some(HeaderValue::from_static("gone")),
        }),
        host: Some(HostChange::Suffix("-shadow".into())),
        marker: Some(Marker { header: Some(name("x-env")), value: Some(HeaderValue::from_static("test")) }),
        ..Policy::default()
    };
    let headers = [("Host", "shop:80"), ("Authorization", "secret"), ("X-Billing", "1"), ("X-Trail", "a")];
    let headers = headers.map(|(name, value)| Header { name, value: value.as_bytes() });
    let (version, body) = (Version::Http11, BodyLength::None);
    let head = RequestHead {
        method: "GET",
        target: "/a?token=1&b=2",
        version,
        headers: &headers,
        body,
        encrypted: false,
    };
    let show = |copy: &Request<()>| -> Vec<String> {
        let fields =
            copy.headers().iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
        let mut fields: Vec<_> = fields.collect();
        fields.sort();
        fields
    };
    let copy = to_request(&head, Some(&changes), Some(&policy)).unwrap();
    assert_eq!(copy.uri(), "/a?token=gone&b=2");
    let expected = [
        "authorization: gone",
        "host: shop-shadow:80",
        "x-env: test",
        "x-path: /a?token=gone&b=2",
        "x-trail: a",
        "x-trail: umbra",
        "x-user: gone",
    ];
    assert_eq!(show(&copy), expected);

    // A credential of its own in place of the one taken out.
    policy.headers = Some(HeaderChanges { set: list("authorization", "test"), ..HeaderChanges::default() });
    policy.redact.as_mut().unwrap().replacement = None;
    policy.host = Some(HostChange::Authority(HeaderValue::from_static("shadow.example")));
    policy.marker = None;
    let copy = to_request(&head, None, Some(&policy)).unwrap();
    assert_eq!(copy.uri(), "/a?b=2");
    let expected = ["authorization: test", "host: shadow.example", "x-billing: 1", "x-mark: 1", "x-trail: a"];
    assert_eq!(show(&copy), expected);
}

proptest! {
    #[test]
    fn fields_of_the_message_arrive_in_order(
        fields in prop::collection::vec(("x-[a-d]{1,2}", "[ -~]{0,20}"), 0..30),
    ) {
        let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let request = copy("/", &fields, BodyLength::None).unwrap();
        for (name, _) in &fields {
            let sent: Vec<_> = fields.iter().filter(|it| it.0 == *name).map(|it| it.1).collect();
            let arrived: Vec<_> = request.headers().get_all(*name).iter().collect();
            prop_assert_eq!(sent, arrived);
        }
        // host and the marker are ours.
        prop_assert_eq!(request.headers().len(), fields.len() + 2);
    }

    #[test]
    fn no_head_makes_the_worker_panic(
        target in "\\PC{0,20}",
        fields in prop::collection::vec(("\\PC{0,8}", prop::collection::vec(any::<u8>(), 0..12)), 0..6),
    ) {
        let headers: Vec<_> = fields.iter().map(|(name, value)| Header { name, value }).collect();
        for body in [BodyLength::None, BodyLength::Known(1), BodyLength::Streamed] {
            let head = RequestHead { method: "GET", target: &target, version: Version::Http11, headers: &headers, body, encrypted: false };
            let _ = to_request(&head, None, None);
        }
    }
}
