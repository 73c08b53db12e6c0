//! Long lists in pages: `?limit=` at most so many items, `?continue=` where the last page ended. A page, as any
//! other long answer, is made on a thread of its own, one at a time, so that it holds up neither probes nor memory.

use axum::{
    extract::RawQuery,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::Semaphore;

use super::problem::Problem;

/// Items of a page, asked for in no other number.
const USUAL: usize = 500;
const MOST: usize = 1000;

/// What was asked for: items after the one with this key, in the order of keys.
#[derive(Debug)]
pub(super) struct Wanted<K> {
    pub(super) limit: usize,
    pub(super) after: Option<K>,
}

/// A page: `items`, and `continue` where there are more.
#[derive(Debug, Serialize)]
pub(super) struct Page<T> {
    items: Vec<T>,
    #[serde(rename = "continue", skip_serializing_if = "Option::is_none")]
    rest: Option<String>,
}

impl<K: Serialize + DeserializeOwned> Wanted<K> {
    /// # Errors
    /// Which parameter cannot be understood.
    pub(super) fn read(RawQuery(query): &RawQuery) -> Result<Self, Problem> {
        let mut wanted = Self { limit: USUAL, after: None };
        for part in query.iter().flat_map(|query| query.split('&')).filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            match name {
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| (1..=MOST).contains(limit));
                    wanted.limit = limit.ok_or_else(|| {
                        Problem::bad_request(
                            format!("limit={value} is not within 1..={MOST}"),
                            format!("leave it out for {USUAL}"),
                        )
                    })?;
                }
                "continue" => {
                    let key = read_token(value).ok_or_else(|| {
                        Problem::bad_request(
                            "continue= does not come from this list",
                            "begin again without it",
                        )
                    })?;
                    wanted.after = Some(key);
                }
                _ => {
                    let detail = format!("a list has no parameter `{name}`");
                    return Err(Problem::bad_request(detail, "it has limit and continue"));
                }
            }
        }
        Ok(wanted)
    }

    /// The page from rows with their keys, those before it left out already. No row beyond it is made.
    pub(super) fn page<T>(&self, rows: impl Iterator<Item = (K, T)>) -> Page<T> {
        let mut rows = rows.peekable();
        let (mut items, mut last) = (Vec::new(), None);
        while items.len() < self.limit
            && let Some((key, row)) = rows.next()
        {
            items.push(row);
            last = Some(key);
        }
        let rest = rows.peek().and(last.as_ref()).map(token);
        Page { items, rest }
    }
}

/// For what has no parameters.
///
/// # Errors
/// Something was asked for all the same.
pub(super) fn plain(RawQuery(query): &RawQuery) -> Result<(), Problem> {
    let refuse = |query: &String| {
        let name = query.split(['=', '&']).next().unwrap_or_default();
        Problem::bad_request(format!("there is no parameter `{name}` here"), "it has none")
    };
    query.as_ref().filter(|query| !query.is_empty()).map_or(Ok(()), |query| Err(refuse(query)))
}

/// Digits only, so that it stands in a URL as it is.
fn token<K: Serialize>(key: &K) -> String {
    let json = serde_json::to_vec(key).unwrap_or_default();
    json.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read_token<K: DeserializeOwned>(token: &str) -> Option<K> {
    let bytes = token.as_bytes().chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(pair, 16).ok()
    });
    serde_json::from_slice(&bytes.collect::<Option<Vec<_>>>()?).ok()
}

/// The text of an answer.
pub(super) fn json(answer: &impl Serialize) -> Vec<u8> {
    let mut text = serde_json::to_vec(answer).unwrap_or_default();
    text.push(b'\n');
    text
}

/// A page's answer.
pub(super) async fn make(work: impl FnOnce() -> Vec<u8> + Send + 'static) -> Result<Response, Problem> {
    let text = elsewhere(work).await?;
    Ok(([(CONTENT_TYPE, "application/json")], text).into_response())
}

/// Makes a text away from the window's thread, one at a time, whatever it is for.
pub(super) async fn elsewhere(work: impl FnOnce() -> Vec<u8> + Send + 'static) -> Result<Vec<u8>, Problem> {
    static ONE: Semaphore = Semaphore::const_new(1);
    // Neither closed nor poisoned ever: the one place waits for the one before. It goes along with the work, which ends
    // even when whoever asked for it has left.
    let place = ONE.acquire().await;
    let made = tokio::task::spawn_blocking(move || {
        let _place = place;
        work()
    });
    made.await.map_err(|_| {
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the answer could not be made",
            "report it, with the agent's log",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_make_up_the_list() {
        let all: Vec<_> = (0..25).map(|n| (format!("k\"{n:02}"), n)).collect();
        let (mut found, mut query) = (Vec::new(), "limit=10".to_owned());
        loop {
            let wanted = Wanted::<String>::read(&RawQuery(Some(query))).unwrap();
            let rest = all.iter().filter(|(key, _)| wanted.after.as_ref().is_none_or(|after| key > after));
            let page = wanted.page(rest.cloned());
            assert!(page.items.len() <= 10);
            found.extend(page.items);
            let Some(token) = page.rest else { break };
            query = format!("limit=10&continue={token}");
        }
        assert_eq!(found, (0..25).collect::<Vec<_>>());
    }

    #[test]
    fn what_cannot_be_understood_is_a_problem() {
        for query in [
            "offset=1",
            "limit",
            "limit=1&filter=x",
            "limit=0",
            "limit=1001",
            "limit=x",
            "continue=zz",
            "continue=7b",
            "continue=é",
        ] {
            assert!(Wanted::<String>::read(&RawQuery(Some(query.into()))).is_err(), "{query}");
        }
        for query in [None, Some(String::new())] {
            assert_eq!(Wanted::<String>::read(&RawQuery(query.clone())).unwrap().limit, USUAL);
            assert!(plain(&RawQuery(query)).is_ok());
        }
        assert!(plain(&RawQuery(Some("verbose".into()))).is_err());
    }
}
