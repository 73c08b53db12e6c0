//! The dashboard: a page and its parts, kept in the program, that show in a browser what the API tells. Nothing is loaded
//! from elsewhere, and nothing runs that is not one of these files.

use std::{
    hash::{DefaultHasher, Hasher as _},
    sync::LazyLock,
};

use axum::{
    Router,
    http::{
        HeaderMap, HeaderName, HeaderValue, StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY,
            X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
        },
    },
    response::{IntoResponse as _, Response},
    routing::get,
};

/// Scripts, styles and answers of this agent alone; in no frame, and no form sends anything anywhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A part of the page: where it is, of which kind, and what it says.
type Part = (&'static str, &'static str, &'static str);

const SCRIPT: &str = "text/javascript; charset=utf-8";

macro_rules! parts {
    ($($name:literal as $kind:expr;)+) => {
        &[$((concat!("/ui/", $name), $kind, include_str!($name)),)+]
    };
}

const PAGE: Part = ("/", "text/html; charset=utf-8", include_str!("index.html"));
const PARTS: &[Part] = parts! {
    "agent.js" as SCRIPT;
    "app.js" as SCRIPT;
    "chart.js" as SCRIPT;
    "confirm.js" as SCRIPT;
    "dom.js" as SCRIPT;
    "figures.js" as SCRIPT;
    "graph.js" as SCRIPT;
    "live.js" as SCRIPT;
    "mirrors.js" as SCRIPT;
    "node.js" as SCRIPT;
    "overview.js" as SCRIPT;
    "routes.js" as SCRIPT;
    "style.css" as "text/css; charset=utf-8";
    "icon.svg" as "image/svg+xml";
};

/// Of all of them together: they are of one build.
static TAG: LazyLock<HeaderValue> = LazyLock::new(|| {
    let mut hasher = DefaultHasher::new();
    PARTS.iter().chain([&PAGE]).for_each(|(_, _, text)| hasher.write(text.as_bytes()));
    HeaderValue::try_from(format!("\"{:016x}\"", hasher.finish())).expect("digits are a header's value")
});

/// The page at `/`, its parts below `/ui/`.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let parts = PARTS.iter().chain(std::iter::once(&PAGE));
    parts.fold(Router::new(), |router, part| {
        router.route(part.0, get(async move |headers: HeaderMap| answer(part, &headers)))
    })
}

/// A browser asks each time whether it has changed, as it does with an upgrade of the agent.
fn answer(&(_, kind, text): &Part, asked: &HeaderMap) -> Response {
    let headers: [(HeaderName, HeaderValue); 7] = [
        (CONTENT_TYPE, HeaderValue::from_static(kind)),
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (ETAG, TAG.clone()),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    ];
    match asked.get(IF_NONE_MATCH).is_some_and(|known| known == *TAG) {
        true => (StatusCode::NOT_MODIFIED, headers).into_response(),
        false => (headers, text).into_response(),
    }
}
