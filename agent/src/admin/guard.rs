//! Keeps web pages out: a browser on the same machine reaches 127.0.0.1 for any page it shows. A page of another host
//! is known by `Origin`, a name that was made to point here (DNS rebinding) by `Host`, and a form by its content type.

use axum::{
    extract::Request,
    http::{HeaderMap, Method, StatusCode, Uri, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse as _, Response},
};

use super::problem::Problem;

/// Lets through what no page of another host can send.
pub(super) async fn guard(request: Request, next: Next) -> Response {
    match judge(request.method(), request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// For requests over the unix socket, which no browser opens: the content type alone.
pub(super) async fn content_type(request: Request, next: Next) -> Response {
    match is_json(request.method(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn judge(method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let hosts: Vec<_> =
        headers.get_all(header::HOST).iter().map(|host| host.to_str().unwrap_or("")).collect();
    let [host] = hosts.as_slice() else {
        return Err(Problem::bad_request("not one Host header", "send exactly one, as HTTP/1.1 asks"));
    };
    for host in [Some(*host), uri.authority().map(Authority::as_str)].into_iter().flatten() {
        if !is_here(host) {
            return Err(Problem::new(
                StatusCode::MISDIRECTED_REQUEST,
                format!("`{host}` is not a name of this agent's admin API"),
                "ask for an IP address or localhost, for a name can be made to point here by anybody",
            ));
        }
    }
    // A browser writes the port of an Origin as it writes Host's: not at all where it is the scheme's own.
    let of_other =
        |origin: &str| origin.strip_prefix("http://").is_none_or(|origin| !origin.eq_ignore_ascii_case(host));
    for origin in headers.get_all(header::ORIGIN) {
        let origin = origin.to_str().unwrap_or("");
        if of_other(origin) {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                format!("a page of `{origin}` may not use this agent's admin API"),
                "ask without an Origin header, as `umbra` and curl do",
            ));
        }
    }
    is_json(method, headers)
}

/// A form or an image can be sent without asking (CORS calls it simple); JSON cannot.
fn is_json(method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
    let essence = kind.split(';').next().unwrap_or("").trim();
    if *method == Method::POST && !essence.eq_ignore_ascii_case("application/json") {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("the body is of type `{kind}`, not application/json"),
            "send the header content-type: application/json",
        ));
    }
    Ok(())
}

/// An address, which no DNS can turn, or the machine itself.
fn is_here(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host();
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    !host.contains('@')
        && (address.parse::<std::net::IpAddr>().is_ok() || name.eq_ignore_ascii_case("localhost"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(method: &Method, fields: &[(&'static str, &str)]) -> Option<u16> {
        let field = |(name, value): &(&'static str, &str)| (name.parse().unwrap(), value.parse().unwrap());
        let headers: HeaderMap = {
            let mut headers = HeaderMap::new();
            fields.iter().map(field).for_each(|(name, value): (header::HeaderName, _)| {
                headers.append(name, value);
            });
            headers
        };
        let problem = judge(method, &Uri::from_static("/api/v1/pause"), &headers).err()?;
        Some(problem.into_response().status().as_u16())
    }

    #[test]
    fn an_address_or_localhost_is_asked_for_and_nothing_else() {
        for host in ["127.0.0.1:9977", "[::1]:9977", "10.0.0.7", "localhost", "LocalHost:9977"] {
            assert_eq!(verdict(&Method::GET, &[("host", host)]), None, "{host}");
        }
        for host in [
            "evil.example",
            "127.0.0.1.evil.example:9977",
            "localhost.evil.example",
            "a@127.0.0.1",
            "::1",
            "",
        ] {
            assert_eq!(verdict(&Method::GET, &[("host", host)]), Some(421), "{host}");
        }
        assert_eq!(verdict(&Method::GET, &[]), Some(400));
        assert_eq!(verdict(&Method::GET, &[("host", "localhost"), ("host", "evil.example")]), Some(400));
    }

    #[test]
    fn a_page_of_another_host_changes_nothing() {
        let json = ("content-type", "application/json");
        let host = ("host", "127.0.0.1:9977");
        assert_eq!(verdict(&Method::POST, &[host, json]), None);
        assert_eq!(verdict(&Method::POST, &[host, json, ("origin", "http://127.0.0.1:9977")]), None);
        let others = [
            "https://evil.example",
            "null",
            "http://127.0.0.1:80",
            "http://127.0.0.1",
            "https://127.0.0.1:9977",
        ];
        for origin in others {
            assert_eq!(verdict(&Method::POST, &[host, json, ("origin", origin)]), Some(403), "{origin}");
            assert_eq!(verdict(&Method::GET, &[host, ("origin", origin)]), Some(403), "{origin}");
        }
    }

    #[test]
    fn what_a_form_can_send_changes_nothing() {
        let host = ("host", "127.0.0.1:9977");
        assert_eq!(
            verdict(&Method::POST, &[host, ("content-type", "application/json; charset=utf-8")]),
            None
        );
        for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=a", ""]
        {
            assert_eq!(verdict(&Method::POST, &[host, ("content-type", kind)]), Some(415), "{kind}");
        }
        assert_eq!(verdict(&Method::POST, &[host]), Some(415));
    }
}
