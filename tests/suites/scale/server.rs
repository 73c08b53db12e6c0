//! As much of an API server as an agent asks of one that streams lists, for more objects than the stub of `support` can hold:
//! every text is made once, and what is sent is counted. It never fails.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, BufRead as _, BufReader, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use support::Netns;
use tempfile::TempDir;

use crate::store::{Collection, Selection};

/// As a real server's.
const BOOKMARK: Duration = Duration::from_secs(60);
/// A watch looks this often whether it is to end.
const LOOK: Duration = Duration::from_millis(500);

/// What is installed: group, version, plurals. Gateway API is not.
const KINDS: [(&str, &str, &[&str]); 4] = [
    ("", "v1", &["services", "pods", "namespaces"]),
    ("discovery.k8s.io", "v1", &["endpointslices"]),
    (
        "networking.istio.io",
        "v1",
        &["virtualservices", "destinationrules", "serviceentries", "workloadentries"],
    ),
    ("umbra.dev", "v1alpha1", &["agentconfigs", "shadowpolicies"]),
];

pub(crate) struct Server {
    netns: Netns,
    address: SocketAddr,
    shared: Arc<Shared>,
    dir: TempDir,
}

#[derive(Default)]
struct Shared {
    /// By plural.
    collections: BTreeMap<&'static str, Collection>,
    stop: AtomicBool,
    connections: Mutex<Vec<TcpStream>>,
    asked: Asked,
}

#[derive(Default)]
struct Asked {
    requests: AtomicU64,
    /// Open now.
    watches: AtomicU64,
    bytes: AtomicU64,
}

/// What it was asked for so far.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) requests: u64,
    pub(crate) watches: u64,
    pub(crate) bytes: u64,
}

impl Server {
    pub(crate) fn start(netns: &Netns) -> Self {
        let listener = netns.listen(([127, 0, 0, 1], 0).into());
        let address = listener.local_addr().unwrap();
        let plurals = KINDS.iter().flat_map(|(.., plurals)| *plurals);
        let collections = plurals.map(|plural| (*plural, Collection::default())).collect();
        let shared = Arc::new(Shared { collections, ..Shared::default() });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                if serving.stop.load(Relaxed) {
                    return;
                }
                serving.connections.lock().unwrap().push(connection.try_clone().unwrap());
                let shared = Arc::clone(&serving);
                thread::spawn(move || drop(shared.serve(&connection)));
            }
        });
        let dir = tempfile::tempdir().unwrap();
        let text = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "it",
            "clusters": [{"name": "it", "cluster": {"server": format!("http://{address}")}}],
            "users": [{"name": "it", "user": {"token": "of-the-test"}}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it", "namespace": "umbra-system"}}],
        });
        fs::write(dir.path().join("kubeconfig"), text.to_string()).unwrap();
        Self { netns: netns.clone(), address, shared, dir }
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.dir.path().join("kubeconfig")
    }

    /// Of a kind, by its plural.
    pub(crate) fn of(&self, plural: &str) -> &Collection {
        &self.shared.collections[plural]
    }

    pub(crate) fn load(&self) -> Load {
        let Asked { requests, watches, bytes } = &self.shared.asked;
        Load { requests: requests.load(Relaxed), watches: watches.load(Relaxed), bytes: bytes.load(Relaxed) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stop.store(true, Relaxed);
        // Wakes the listener.
        let _ = self.netns.connect(self.address);
        for connection in self.shared.connections.lock().unwrap().drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    fn serve(&self, connection: &TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(connection);
        while let Some(Request { path, query, metadata_only }) = Request::read(&mut reader)? {
            self.asked.requests.fetch_add(1, Relaxed);
            let words: Vec<_> = path.split('/').skip(1).collect();
            let (namespace, plural) = match words[..] {
                ["api", _, "namespaces", namespace, plural]
                | ["apis", _, _, "namespaces", namespace, plural] => (Some(namespace), plural),
                ["api", _, plural] => (None, plural),
                ["apis", group] => {
                    self.answer(connection, versions(group))?;
                    continue;
                }
                ["apis", group, version] => {
                    self.answer(connection, plurals(group, version))?;
                    continue;
                }
                ["apis", _, _, plural] => (None, plural),
                _ => (None, ""),
            };
            let given = |name: &str| query.iter().find(|(known, _)| known == name).map(|(_, value)| value);
            let Some(collection) = self.collections.get(plural) else {
                self.answer(connection, None)?;
                continue;
            };
            let pairs = |name| {
                let written = given(name).map(String::as_str).unwrap_or_default();
                let pairs = written.split(',').filter_map(|pair| pair.split_once('='));
                pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect::<Vec<_>>()
            };
            let selection = Selection {
                namespace: namespace.map(str::to_owned),
                labels: pairs("labelSelector"),
                node: pairs("fieldSelector").pop().map(|(_, node)| node),
                metadata_only,
            };
            if given("watch").is_none() {
                self.list(connection, collection, &selection)?;
                continue;
            }
            let number = |name| given(name).and_then(|value| value.parse::<u64>().ok());
            let end = Instant::now() + Duration::from_secs(number("timeoutSeconds").unwrap_or(300));
            let from = number("resourceVersion").filter(|_| given("sendInitialEvents").is_none());
            self.asked.watches.fetch_add(1, Relaxed);
            let done = self.watch(connection, collection, &selection, from, end);
            self.asked.watches.fetch_sub(1, Relaxed);
            done?;
        }
        Ok(())
    }

    /// None: there is no such thing.
    fn answer(&self, connection: &TcpStream, said: Option<Value>) -> io::Result<()> {
        let status = if said.is_some() { "200 OK" } else { "404 Not Found" };
        let not_found = || json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404, "message": "not found"});
        self.say(connection, status, &said.unwrap_or_else(not_found).to_string())
    }

    fn say(&self, connection: &TcpStream, status: &str, said: &str) -> io::Result<()> {
        let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\n");
        self.send(connection, &format!("{head}content-length: {}\r\n\r\n{said}", said.len()))
    }

    /// All in one page, for who finds a streamed list too slow.
    fn list(&self, connection: &TcpStream, collection: &Collection, selection: &Selection) -> io::Result<()> {
        let (version, objects) = collection.list(selection);
        let items: Vec<_> =
            objects.iter().map(|(version, object)| selection.shown(object, *version)).collect();
        let items = items.join(",");
        self.say(
            connection,
            "200 OK",
            &format!("{{\"metadata\":{{\"resourceVersion\":\"{version}\"}},\"items\":[{items}]}}"),
        )
    }

    /// Without a version to begin from the list is streamed first.
    fn watch(
        &self,
        connection: &TcpStream,
        collection: &Collection,
        selection: &Selection,
        from: Option<u64>,
        end: Instant,
    ) -> io::Result<()> {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
        self.send(connection, head)?;
        let mut seen = from.unwrap_or_default();
        if from.is_none() {
            let (version, objects) = collection.list(selection);
            for (version, object) in objects {
                self.send_chunk(connection, &selection.line("ADDED", &object, version))?;
            }
            self.send_chunk(connection, &bookmark(version, true))?;
            seen = version;
        }
        let mut told = Instant::now();
        while Instant::now() < end && !self.stop.load(Relaxed) {
            let (version, changes) = collection.since(seen, LOOK);
            seen = version;
            let mut events = changes.iter().filter_map(|change| selection.event(change));
            events.try_for_each(|event| self.send_chunk(connection, &event))?;
            if told.elapsed() > BOOKMARK {
                told = Instant::now();
                self.send_chunk(connection, &bookmark(seen, false))?;
            }
        }
        self.send(connection, "0\r\n\r\n")
    }

    fn send_chunk(&self, connection: &TcpStream, text: &str) -> io::Result<()> {
        self.send(connection, &format!("{:x}\r\n{text}\r\n", text.len()))
    }

    fn send(&self, mut connection: &TcpStream, text: &str) -> io::Result<()> {
        self.asked.bytes.fetch_add(text.len() as u64, Relaxed);
        connection.write_all(text.as_bytes())
    }
}

fn versions(group: &str) -> Option<Value> {
    let (_, version, _) = KINDS.iter().find(|(known, ..)| *known == group)?;
    Some(json!({"kind": "APIGroup", "versions": [{"version": version}]}))
}

fn plurals(group: &str, version: &str) -> Option<Value> {
    let of = KINDS.iter().find(|(known, of, _)| *known == group && *of == version)?;
    let resources: Vec<_> = of.2.iter().map(|plural| json!({"name": plural})).collect();
    Some(json!({"kind": "APIResourceList", "resources": resources}))
}

fn bookmark(version: u64, ends_list: bool) -> String {
    let annotations = if ends_list { json!({"k8s.io/initial-events-end": "true"}) } else { json!({}) };
    let metadata = json!({"resourceVersion": version.to_string(), "annotations": annotations});
    format!("{}\n", json!({"type": "BOOKMARK", "object": {"kind": "Bookmark", "metadata": metadata}}))
}

/// A request, as far as it matters.
struct Request {
    path: String,
    query: Vec<(String, String)>,
    metadata_only: bool,
}

impl Request {
    /// None when the client has left.
    fn read(reader: &mut BufReader<&TcpStream>) -> io::Result<Option<Self>> {
        let (mut line, mut metadata_only) = (String::new(), false);
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let target = line.split(' ').nth(1).unwrap_or_default();
        loop {
            let mut header = String::new();
            if reader.read_line(&mut header)? <= 2 {
                break;
            }
            metadata_only |= header.contains("as=PartialObjectMetadata");
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let decoded = |text: &str| text.replace("%3D", "=").replace("%2C", ",").replace("%2F", "/");
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let query = pairs.map(|(name, value)| (name.to_owned(), decoded(value))).collect();
        Ok(Some(Self { path: path.to_owned(), query, metadata_only }))
    }
}
