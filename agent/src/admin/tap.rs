//! `GET /api/v1/tap`: requests as they end, as server-sent events; and `GET /api/v1/exchanges`: the last of them. Both take
//! the same filters as query parameters.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::{RawQuery, State},
    http::StatusCode,
    response::{
        Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use futures_util::{Stream, stream::unfold};

use super::{View, page, problem::Problem};
use crate::observe::{CLIENTS, Filter, Item, MOST_KEPT};

/// A comment after so long a silence: who reads knows that the agent is there, and the agent that somebody reads.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Requests of an answer, asked for in no other number.
const USUAL: usize = 100;

/// What the query asks for.
#[derive(Debug, Default)]
struct Asked {
    filter: Filter,
    last: Option<usize>,
}

pub(super) async fn follow(
    State(view): State<Arc<View>>,
    RawQuery(query): RawQuery,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let asked = Asked::read(query.as_deref())?;
    if asked.last.is_some() {
        return Err(Problem::bad_request(
            "`last` is no filter of the live view",
            "ask /api/v1/exchanges for the last ones",
        ));
    }
    let tap = view.live.tap(asked.filter).ok_or_else(|| {
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("{CLIENTS} clients look on already, or the agent is stopping"),
            "end one of them: an open dashboard or `umbra tap`",
        )
    })?;
    let events = unfold(tap, |mut tap| async {
        let event = match tap.next().await? {
            // JSON, so that it has no line end.
            Item::Line(seen) => Event::default().event("exchange").data(String::from_utf8_lossy(seen.line())),
            Item::Dropped(lines) => {
                Event::default().event("dropped").data(format!("{{\"dropped\":{lines}}}"))
            }
        };
        Some((Ok(event), tap))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

pub(super) async fn last(
    State(view): State<Arc<View>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let Asked { filter, last } = Asked::read(query.as_deref())?;
    page::make(move || {
        let seen = view.live.last(last.unwrap_or(USUAL), &filter);
        answer(view.live.keeps(), seen.iter().map(|seen| &**seen.line()))
    })
    .await
}

/// `kept`: how many are kept at this moment, at the most; `items`: oldest first, each JSON already.
fn answer<'l>(kept: usize, lines: impl Iterator<Item = &'l [u8]>) -> Vec<u8> {
    let mut answer = format!("{{\"kept\":{kept},\"items\":[").into_bytes();
    for (index, line) in lines.enumerate() {
        answer.extend_from_slice(if index > 0 { b"," } else { b"" });
        answer.extend_from_slice(line);
    }
    answer.extend_from_slice(b"]}\n");
    answer
}

impl Asked {
    fn read(query: Option<&str>) -> Result<Self, Problem> {
        let mut asked = Self::default();
        for (word, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            if word == "last" {
                let last = value.parse().ok().filter(|last| (1..=MOST_KEPT).contains(last));
                let wrong = || format!("last={value} is not within 1..={MOST_KEPT}");
                asked.last = Some(
                    last.ok_or_else(|| Problem::bad_request(wrong(), format!("leave it out for {USUAL}")))?,
                );
            } else {
                let hint = "each filter is word=value, as in ?method=GET&path=/cart*&status=5xx";
                asked.filter.add(&word, &value).map_err(|why| Problem::bad_request(why, hint))?;
            }
        }
        Ok(asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_listed_as_they_are() {
        let listed = |lines: &[&[u8]]| -> serde_json::Value {
            serde_json::from_slice(&answer(7, lines.iter().copied())).unwrap()
        };
        assert_eq!(listed(&[]), serde_json::json!({"kept": 7, "items": []}));
        assert_eq!(listed(&[b"{}", b"1"]), serde_json::json!({"kept": 7, "items": [{}, 1]}));
    }

    #[test]
    fn a_query_that_cannot_be_understood_is_refused() {
        for query in ["last=0", "last=1001", "last=x", "status=abc", "verdict=", "nonsense=1", "path"] {
            assert!(Asked::read(Some(query)).is_err(), "{query}");
        }
        assert_eq!(Asked::read(Some("last=7&path=%2Fa%20b&method=GET&method=PUT")).unwrap().last, Some(7));
        assert!(Asked::read(None).unwrap().last.is_none());
    }
}
