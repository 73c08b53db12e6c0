//! Requests that write: a status read, changed and put back under the version that was read, so that nobody's entry is lost.

use std::time::Duration;

use http::{Method, Request, header::CONTENT_TYPE};
use kube::Client;
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::time::timeout;

use super::{
    super::{
        kinds::{KINDS, ROUTES},
        lines::Trouble,
        store::Name,
    },
    lease::seconds,
    seen::CONTROLLER,
};

/// For one answer.
const WITHIN: Duration = Duration::from_secs(10);
/// Attempts at an object that others write at the same time.
const ATTEMPTS: usize = 3;

/// The API server, asked in words.
#[derive(Clone)]
pub(super) struct Api(pub(super) Client);

/// What is to be said of an object, as of a generation of it.
#[derive(Debug)]
pub(super) struct Statement {
    pub(super) kind: usize,
    pub(super) version: &'static str,
    pub(super) name: Name,
    pub(super) generation: i64,
    /// Without times; Null for nothing.
    pub(super) status: Value,
    pub(super) digest: u64,
}

impl Api {
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Trouble> {
        let path = match method {
            Method::GET => path.to_owned(),
            _ => format!("{path}?fieldManager=umbra"),
        };
        let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        let request = Request::builder().method(method).uri(path).header(CONTENT_TYPE, "application/json");
        let request = request.body(body).map_err(Trouble::other)?;
        let answer = timeout(WITHIN, self.0.request(request)).await;
        Ok(answer.map_err(|_| Trouble::silent(WITHIN))??)
    }

    /// False: the object has changed since, and is to be judged anew.
    pub(super) async fn write(&self, statement: &Statement) -> Result<bool, Trouble> {
        let Statement { kind, version, name: (namespace, name), .. } = statement;
        let path = format!("{}/{name}/status", KINDS[*kind].path(version, Some(namespace)));
        for _ in 0..ATTEMPTS {
            let mut object = self.ask(Method::GET, &path, None).await?;
            if object["metadata"]["generation"].as_i64().unwrap_or(0) != statement.generation {
                return Ok(false);
            }
            change(&mut object, statement, OffsetDateTime::now_utc());
            match self.ask(Method::PUT, &path, Some(&object)).await {
                Err(trouble) if trouble.status == Some(409) => {}
                other => return other.map(|_| true),
            }
        }
        Ok(false)
    }
}

/// Puts the statement into the object: in the place of ours, beside what others say. A condition keeps its time while its status
/// stays (meta/v1 Condition).
fn change(object: &mut Value, statement: &Statement, now: OffsetDateTime) {
    let before = object["status"].take();
    object["status"] = if ROUTES.contains(&statement.kind) {
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let (own, mut all): (Vec<_>, Vec<_>) =
            list(&before["parents"]).into_iter().partition(|entry| entry["controllerName"] == CONTROLLER);
        all.extend(list(&statement.status).into_iter().map(|mut entry| {
            let same = own.iter().find(|known| known["parentRef"] == entry["parentRef"]);
            date(&mut entry, same.unwrap_or(&Value::Null), now);
            entry
        }));
        let mut status = if before.is_object() { before } else { json!({}) };
        status["parents"] = all.into();
        status
    } else {
        let mut status = statement.status.clone();
        date(&mut status, &before, now);
        status
    };
}

fn date(status: &mut Value, before: &Value, now: OffsetDateTime) {
    for condition in status["conditions"].as_array_mut().into_iter().flatten() {
        let known = before["conditions"].as_array().into_iter().flatten();
        let same = |known: &&Value| ["type", "status"].iter().all(|key| known[key] == condition[key]);
        let since = known.clone().find(same).and_then(|known| known["lastTransitionTime"].as_str());
        condition["lastTransitionTime"] = since.map_or_else(|| seconds(now), str::to_owned).into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(kind: usize, status: Value) -> Statement {
        let name = ("shop".into(), "cart".into());
        Statement { kind, version: "v1", name, generation: 1, status, digest: 0 }
    }

    fn condition(status: &str, since: Option<&str>) -> Value {
        let mut condition = json!({"type": "Accepted", "status": status});
        if let Some(since) = since {
            condition["lastTransitionTime"] = since.into();
        }
        condition
    }

    #[test]
    fn entries_of_others_stay_and_ours_takes_the_place_of_ours() {
        let entry = |who: &str, condition: Value| json!({"controllerName": who, "parentRef": {"name": "cart"}, "conditions": [condition]});
        let (theirs, ours) = (
            entry("istio.io/gateway", condition("True", Some("a"))),
            entry(CONTROLLER, condition("True", Some("b"))),
        );
        let mut route = json!({"metadata": {"name": "cart"}, "status": {"parents": [ours, theirs], "x": 1}});
        let now = OffsetDateTime::UNIX_EPOCH;
        change(&mut route, &statement(ROUTES[0], json!([entry(CONTROLLER, condition("True", None))])), now);
        assert_eq!(
            route["status"],
            json!({"parents": [theirs, ours], "x": 1}),
            "nothing has turned: its time stays"
        );
        change(&mut route, &statement(ROUTES[0], json!([entry(CONTROLLER, condition("False", None))])), now);
        let turned = entry(CONTROLLER, condition("False", Some("1970-01-01T00:00:00Z")));
        assert_eq!(route["status"]["parents"], json!([theirs, turned]));
        change(&mut route, &statement(ROUTES[0], Value::Null), now);
        assert_eq!(route["status"]["parents"], json!([theirs]));
    }

    #[test]
    fn the_status_of_our_own_kinds_is_ours_alone() {
        let kind = super::super::super::kinds::POLICIES;
        let mut policy =
            json!({"status": {"mirrors": 2, "reasons": [1], "conditions": [condition("True", Some("a"))]}});
        let status = json!({"mirrors": 1, "conditions": [condition("True", None)]});
        change(&mut policy, &statement(kind, status), OffsetDateTime::UNIX_EPOCH);
        assert_eq!(policy["status"], json!({"mirrors": 1, "conditions": [condition("True", Some("a"))]}));
    }
}
