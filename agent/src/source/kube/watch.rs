//! Follows the objects of one kind: lists them, then watches from there, for as long as the server has the kind. Whatever
//! fails is tried again, later each time; what was known stays known meanwhile.
//!
//! kube's own watcher is not used: it keeps bookmarks and reconnections to itself, so nobody could tell how old the state is.

use std::{collections::HashSet, sync::Arc, time::Duration};

use kube::{
    Client,
    api::{ListParams, WatchParams},
    core::Request,
};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use super::{
    Shared,
    kinds::KINDS,
    lines::{Lines, Trouble},
    pause::{Pause, spread},
    standing::State,
    status::Seen,
    store::{Name, Target},
};

/// Objects of one answer to a list.
const PAGE: u32 = 500;
/// For one such answer.
const PAGE_WITHIN: Duration = Duration::from_secs(60);
/// A watch ends by itself then; the server ends longer ones as it likes.
const WATCH: Duration = Duration::from_secs(280);
/// Bookmarks come about once a minute: where there were some, a connection that is silent for so long is dead.
const SILENCE: Duration = Duration::from_secs(150);
/// The same while a list is streamed, and until the first word of a server that may not know how to.
const STREAM_SILENCE: Duration = Duration::from_secs(5);
/// When it is forbidden or not there, it is asked for again about this often.
pub(super) const LOOK: Duration = Duration::from_secs(60);
/// A watch that ends sooner is a failure.
const SHORT: Duration = Duration::from_secs(1);
/// Marks the bookmark after the last object of a streamed list.
const END_OF_LIST: &str = "k8s.io/initial-events-end";

/// One kind, or the labels of some pods, being followed.
pub(super) struct Follow {
    pub(super) client: Client,
    pub(super) shared: Arc<Shared>,
    pub(super) target: Target,
    pub(super) version: &'static str,
    /// None: in all.
    pub(super) namespace: Option<String>,
    pub(super) fields: Option<String>,
}

/// One answer to a list. Objects are trimmed as soon as it is read.
#[derive(Deserialize)]
struct Page {
    metadata: PageMeta,
    #[serde(default)]
    items: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageMeta {
    #[serde(default)]
    resource_version: String,
    #[serde(rename = "continue", default)]
    more: String,
}

/// A line of a watch.
#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    object: Value,
}

/// Where to go on.
enum Next {
    List,
    Watch(String),
}

impl Follow {
    /// Until the server does not have the kind any more.
    pub(super) async fn run(self) {
        let (mut pause, mut next, mut streams) = (Pause::default(), Next::List, true);
        loop {
            let started = Instant::now();
            let done = match &next {
                Next::List if streams => self.stream().await,
                Next::List => self.list().await.map(Next::Watch),
                Next::Watch(version) => self.watch(version).await,
            };
            let trouble = match done {
                Ok(after) => {
                    // Of a watch that keeps ending at once there is no end.
                    let hasty = matches!(next, Next::Watch(_)) && started.elapsed() < SHORT;
                    next = after;
                    if hasty {
                        sleep(pause.next()).await;
                    } else {
                        pause.reset();
                    }
                    continue;
                }
                Err(trouble) => trouble,
            };
            if matches!(next, Next::List) && streams && trouble.is_refusal() {
                streams = false;
                continue;
            }
            let wait = match trouble.status {
                Some(404) => return,
                Some(403) => spread(LOOK),
                _ => pause.next(),
            };
            match trouble.status {
                // Forgotten by the server: everything is asked for anew, and what is gone is seen then.
                Some(410) => next = Next::List,
                Some(403) => {
                    next = Next::List;
                    self.shared.turn(&self.target, State::Forbidden, Some(trouble.to_string()));
                }
                _ => self.shared.turn(&self.target, State::Away, Some(trouble.to_string())),
            }
            sleep(wait).await;
        }
    }

    /// Lists in pages. Returns what to watch from.
    async fn list(&self) -> Result<String, Trouble> {
        let mut seen = HashSet::new();
        let mut params = ListParams {
            label_selector: self.labels(),
            field_selector: self.fields.clone(),
            limit: Some(PAGE),
            ..ListParams::default()
        };
        loop {
            let request = self.request();
            let request = match self.target {
                Target::Kind(_) => request.list(&params),
                Target::Labels(_) => request.list_metadata(&params),
            };
            let page = self.client.request::<Page>(request.map_err(Trouble::other)?);
            let page = timeout(PAGE_WITHIN, page).await.map_err(|_| Trouble::silent(PAGE_WITHIN))??;
            for object in page.items {
                seen.extend(self.put(object));
            }
            if page.metadata.more.is_empty() {
                self.shared.listed(&self.target, &seen);
                return Ok(page.metadata.resource_version);
            }
            params.continue_token = Some(page.metadata.more);
        }
    }

    /// Lists and watches in one (Kubernetes 1.32): the server need not make the whole list at once, nor the agent hold it.
    async fn stream(&self) -> Result<Next, Trouble> {
        let mut lines = self.open("", true).await?;
        let mut seen = HashSet::new();
        loop {
            let Event { kind, object } = match self.event(&mut lines, STREAM_SILENCE).await {
                Ok(Some(event)) => event,
                Err(trouble) if trouble.status.is_some() => return Err(trouble),
                // One that does not know of streamed lists may begin a watch and say nothing.
                Ok(None) | Err(_) => return Err(Trouble::refused("a streamed list did not come to its end")),
            };
            match kind.as_str() {
                "ADDED" | "MODIFIED" => seen.extend(self.put(object)),
                "DELETED" => {
                    seen.remove(&name_of(&object));
                    self.remove(&object);
                }
                "BOOKMARK" if object["metadata"]["annotations"].get(END_OF_LIST).is_some() => {
                    self.shared.listed(&self.target, &seen);
                    return self.go_on(lines, version_of(&object).unwrap_or_default()).await;
                }
                _ => {}
            }
        }
    }

    async fn watch(&self, version: &str) -> Result<Next, Trouble> {
        let lines = self.open(version, false).await?;
        self.go_on(lines, version.to_owned()).await
    }

    /// Until the watch ends.
    async fn go_on(&self, mut lines: Lines, mut version: String) -> Result<Next, Trouble> {
        let mut silence = WATCH + PAGE_WITHIN;
        loop {
            let event = match self.event(&mut lines, silence).await {
                Ok(Some(event)) => event,
                Ok(None) => return Ok(Next::Watch(version)),
                // What came before counts: the next watch begins after it.
                Err(trouble) if trouble.status.is_none() => {
                    self.shared.turn(&self.target, State::Away, Some(trouble.to_string()));
                    return Ok(Next::Watch(version));
                }
                Err(trouble) => return Err(trouble),
            };
            let Event { kind, object } = event;
            version = version_of(&object).unwrap_or(version);
            match kind.as_str() {
                "ADDED" | "MODIFIED" => drop(self.put(object)),
                "DELETED" => self.remove(&object),
                "BOOKMARK" => silence = SILENCE,
                _ => {}
            }
        }
    }

    async fn open(&self, version: &str, streams: bool) -> Result<Lines, Trouble> {
        let params = WatchParams {
            label_selector: self.labels(),
            field_selector: self.fields.clone(),
            timeout: u32::try_from(spread(WATCH).as_secs()).ok(),
            bookmarks: true,
            send_initial_events: streams,
        };
        let request = self.request();
        let request = match self.target {
            Target::Kind(_) => request.watch(&params, version),
            Target::Labels(_) => request.watch_metadata(&params, version),
        };
        let lines = Lines::open(&self.client, request.map_err(Trouble::other)?);
        let lines = timeout(PAGE_WITHIN, lines).await.map_err(|_| Trouble::silent(PAGE_WITHIN))??;
        if !streams {
            self.shared.turn(&self.target, State::Following, None);
        }
        Ok(lines)
    }

    /// The next event; None at the end of the watch.
    ///
    /// # Errors
    /// Also what the server says in an event.
    async fn event(&self, lines: &mut Lines, silence: Duration) -> Result<Option<Event>, Trouble> {
        let line = timeout(silence, lines.next()).await.map_err(|_| Trouble::silent(silence))??;
        let Some(line) = line else { return Ok(None) };
        let event: Event = serde_json::from_slice(&line).map_err(Trouble::other)?;
        if event.kind == "ERROR" {
            return Err(Trouble::of_status(&event.object));
        }
        self.shared.heard(&self.target);
        Ok(Some(event))
    }

    fn request(&self) -> Request {
        Request::new(KINDS[self.target.kind()].path(self.version, self.namespace.as_deref()))
    }

    fn labels(&self) -> Option<String> {
        match &self.target {
            Target::Kind(_) => None,
            Target::Labels(selector) => Some(selector.labels.clone()),
        }
    }

    fn put(&self, object: Value) -> Option<Name> {
        let name = name_of(&object);
        if name.1.is_empty() {
            return None;
        }
        let seen = self.shared.writes.then(|| Seen::of(self.target.kind(), &object)).flatten();
        let text = KINDS[self.target.kind()].trim(self.version, object);
        self.shared.put(&self.target, name.clone(), text, seen);
        Some(name)
    }

    fn remove(&self, object: &Value) {
        self.shared.remove(&self.target, &name_of(object));
    }
}

/// Namespace and name. Objects without a namespace are taken for ones of `default`, as `config` does.
fn name_of(object: &Value) -> Name {
    let word = |name: &str| object["metadata"][name].as_str().unwrap_or_default();
    let namespace = Some(word("namespace")).filter(|namespace| !namespace.is_empty());
    (namespace.unwrap_or("default").into(), word("name").into())
}

fn version_of(object: &Value) -> Option<String> {
    object["metadata"]["resourceVersion"].as_str().map(str::to_owned)
}
