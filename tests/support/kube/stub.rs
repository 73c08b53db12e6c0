//! As much of an API server as an agent meets: discovery, lists in pages, watches with bookmarks, streamed lists, objects
//! reduced to their metadata, selectors, 410, and every way to be away. One thread for each connection.

mod store;

use std::{
    fmt::Write as _,
    io::{self, BufRead as _, BufReader, Read as _, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use store::{Place, Selection, Store};

use crate::Netns;

/// Between bookmarks; a real server takes a minute.
const BOOKMARK: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) struct Stub {
    netns: Netns,
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    store: Store,
    /// Open connections, to be cut.
    connections: Vec<TcpStream>,
    /// Of the listener that is open.
    stop: Option<Arc<AtomicBool>>,
    asked: Vec<String>,
    delay: Duration,
    page: Option<usize>,
    streams_no_lists: bool,
    /// What of paths may not be asked for.
    forbidden: Option<String>,
}

/// A request, as far as it matters.
struct Request {
    method: String,
    path: String,
    query: Vec<(String, String)>,
    metadata_only: bool,
    body: Value,
}

impl Stub {
    pub(super) fn start(netns: &Netns) -> Self {
        let listener = netns.listen(([127, 0, 0, 1], 0).into());
        let stub =
            Self { netns: netns.clone(), address: listener.local_addr().unwrap(), shared: Arc::default() };
        stub.listen(listener);
        stub
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn come_back(&mut self) {
        // A child of another thread may have the old one until it becomes another program.
        let bind = || self.netns.run(|| TcpListener::bind(self.address)).ok();
        let listener = crate::eventually("the stub's address to be free", bind);
        self.listen(listener);
    }

    fn listen(&self, listener: TcpListener) {
        let stop = Arc::<AtomicBool>::default();
        self.inner().stop = Some(Arc::clone(&stop));
        let shared = Arc::clone(&self.shared);
        thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                shared.inner().connections.push(connection.try_clone().unwrap());
                let shared = Arc::clone(&shared);
                thread::spawn(move || drop(shared.serve(connection)));
            }
        });
    }

    pub(super) fn go_away(&mut self) {
        let stop = self.inner().stop.take();
        if let Some(stop) = stop {
            stop.store(true, Ordering::Relaxed);
            // Wakes the listener, which closes.
            let _ = self.netns.connect(self.address);
        }
        self.inner().cut();
        crate::eventually("the stub to be gone", || {
            self.inner().cut();
            self.netns.connect(self.address).is_err().then_some(())
        });
    }

    pub(super) fn forget(&self) {
        let mut inner = self.inner();
        inner.store.forget();
        inner.cut();
    }

    pub(super) fn hobble(&self, by: Duration, page: usize) {
        let mut inner = self.inner();
        (inner.delay, inner.page) = (by, Some(page));
    }

    pub(super) fn stream_no_lists(&self) {
        self.inner().streams_no_lists = true;
    }

    pub(super) fn forbid(&self, what: &str) {
        self.inner().forbidden = Some(what.to_owned());
    }

    pub(super) fn asked(&self) -> Vec<String> {
        self.inner().asked.clone()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.shared.inner()
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        if let Some(stop) = self.inner().stop.take() {
            stop.store(true, Ordering::Relaxed);
            let _ = self.netns.connect(self.address);
        }
        self.inner().cut();
    }
}

impl Inner {
    fn cut(&mut self) {
        for connection in self.connections.drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    fn serve(&self, connection: TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(connection.try_clone()?);
        let mut writer = connection;
        while let Some(request) = Request::read(&mut reader)? {
            let delay = {
                let mut inner = self.inner();
                let query: Vec<_> =
                    request.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
                inner.asked.push(format!("{} {}?{}", request.method, request.path, query.join("&")));
                inner.delay
            };
            thread::sleep(delay);
            if request.is("watch", "true") {
                self.watch(&request, &mut writer)?;
            } else {
                let (status, said) = self.answer(&request);
                let said = said.to_string();
                write!(
                    writer,
                    "HTTP/1.1 {status} .\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{said}",
                    said.len()
                )?;
            }
        }
        Ok(())
    }

    fn answer(&self, request: &Request) -> (u16, Value) {
        let mut inner = self.inner();
        let not_found = || (404, status(404, "the server could not find the requested resource"));
        if inner.forbidden.as_ref().is_some_and(|what| request.path.contains(what)) {
            return (403, status(403, &format!("{} is forbidden", request.path)));
        }
        let words: Vec<_> = request.path.split('/').skip(1).collect();
        if let ["apis", group] = words[..] {
            let versions: Vec<_> =
                inner.store.versions(group).map(|version| json!({"version": version})).collect();
            return if versions.is_empty() {
                not_found()
            } else {
                (200, json!({"kind": "APIGroup", "versions": versions}))
            };
        }
        if let ["apis", group, version] = words[..] {
            let names: Vec<_> =
                inner.store.plurals(group, version).map(|plural| json!({"name": plural})).collect();
            return (200, json!({"kind": "APIResourceList", "resources": names}));
        }
        let Some(place) = Place::of(&words).filter(|place| inner.store.has(place)) else {
            return not_found();
        };
        let conflict = || (409, status(409, "the object exists, or has been changed"));
        let done = match request.method.as_str() {
            "POST" => match inner.store.create(&place, &request.body) {
                Some(created) => Some(created),
                None => return conflict(),
            },
            "PUT" if inner.store.get(&place).is_some() => match inner.store.replace(&place, &request.body) {
                Some(replaced) => Some(replaced),
                None => return conflict(),
            },
            "PUT" => None,
            "PATCH" => Some(inner.store.apply(&place, &request.body)),
            "DELETE" => inner.store.delete(&place),
            _ if place.name.is_some() => inner.store.get(&place),
            _ => {
                let page = inner.page.into_iter().chain(request.number("limit")).min();
                let from = request.get("continue").unwrap_or_default();
                Some(inner.store.list(&place, &request.selection(), page.unwrap_or(usize::MAX), from))
            }
        };
        self.changed.notify_all();
        done.map_or_else(not_found, |object| (200, object))
    }

    fn watch(&self, request: &Request, writer: &mut impl Write) -> io::Result<()> {
        let words: Vec<_> = request.path.split('/').skip(1).collect();
        let place = Place::of(&words).filter(|place| self.inner().store.has(place));
        let (selection, streams) = (request.selection(), request.is("sendInitialEvents", "true"));
        let refused = match place {
            None => Some((404, "the server could not find the requested resource")),
            Some(_) if streams && self.inner().streams_no_lists => Some((
                422,
                "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled",
            )),
            Some(_) => None,
        };
        if let Some((code, why)) = refused {
            let said = status(code, why).to_string();
            return write!(writer, "HTTP/1.1 {code} .\r\ncontent-length: {}\r\n\r\n{said}", said.len());
        }
        let Some(place) = place else { return Ok(()) };
        write!(
            writer,
            "HTTP/1.1 200 .\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
        )?;
        let seconds = request.number("timeoutSeconds").unwrap_or(300) as u64;
        let end = Instant::now() + Duration::from_secs(seconds);
        let mut seen = request.number("resourceVersion").unwrap_or(0) as u64;
        if streams {
            let list = self.inner().store.list(&place, &selection, usize::MAX, "");
            for item in list["items"].as_array().into_iter().flatten() {
                event(writer, "ADDED", item)?;
            }
            seen = list["metadata"]["resourceVersion"].as_str().and_then(|it| it.parse().ok()).unwrap_or(0);
            event(writer, "BOOKMARK", &bookmark(seen, true))?;
        }
        let mut bookmarked = Instant::now();
        while Instant::now() < end {
            let mut inner = self.inner();
            if inner.store.has_forgotten(seen) {
                event(writer, "ERROR", &status(410, "too old resource version"))?;
                break;
            }
            let (now, events) = inner.store.since(seen, &place, &selection);
            if events.is_empty() && now == seen {
                inner = self.changed.wait_timeout(inner, BOOKMARK / 2).unwrap().0;
            }
            drop(inner);
            seen = now;
            for (kind, object) in &events {
                event(writer, kind, object)?;
            }
            if bookmarked.elapsed() > BOOKMARK {
                bookmarked = Instant::now();
                event(writer, "BOOKMARK", &bookmark(seen, false))?;
            }
        }
        writer.write_all(b"0\r\n\r\n")
    }
}

fn event(writer: &mut impl Write, kind: &str, object: &Value) -> io::Result<()> {
    let mut line = json!({"type": kind, "object": object}).to_string();
    line.push('\n');
    // Two chunks: nobody promises that a line is one.
    let half = line.len() / 2;
    let half = (half..).find(|at| line.is_char_boundary(*at)).unwrap_or(0);
    let mut chunks = String::new();
    for part in [&line[..half], &line[half..]] {
        let _ = write!(chunks, "{:x}\r\n{part}\r\n", part.len());
    }
    writer.write_all(chunks.as_bytes())
}

fn bookmark(version: u64, ends_list: bool) -> Value {
    let annotations = if ends_list { json!({"k8s.io/initial-events-end": "true"}) } else { json!({}) };
    json!({"kind": "Bookmark", "apiVersion": "v1", "metadata": {"resourceVersion": version.to_string(), "annotations": annotations}})
}

fn status(code: u16, message: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code, "message": message, "reason": "Test"})
}

impl Request {
    /// None when the client has left.
    fn read(reader: &mut BufReader<TcpStream>) -> io::Result<Option<Self>> {
        let (mut length, mut metadata_only, mut line) = (0, false, String::new());
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut words = line.split_whitespace().map(str::to_owned);
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            let Some((name, value)) = header.trim().split_once(':') else { break };
            match name.to_lowercase().as_str() {
                "content-length" => length = value.trim().parse().unwrap_or(0),
                "accept" => metadata_only = value.contains("as=PartialObjectMetadata"),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let query = pairs.map(|(name, value)| (name.to_owned(), decode(value))).collect();
        let body = serde_json::from_slice(&body).unwrap_or_default();
        Ok(Some(Self { method, path: path.to_owned(), query, metadata_only, body }))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn number(&self, name: &str) -> Option<usize> {
        self.get(name)?.parse().ok()
    }

    fn is(&self, name: &str, value: &str) -> bool {
        self.get(name) == Some(value)
    }

    fn selection(&self) -> Selection {
        let pairs = |name| {
            let written = self.get(name).unwrap_or_default();
            let pairs = written.split(',').filter_map(|pair| pair.split_once('='));
            pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
        };
        Selection {
            labels: pairs("labelSelector"),
            fields: pairs("fieldSelector"),
            metadata_only: self.metadata_only,
        }
    }
}

/// `%2C` and `+`.
fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next(), rest.next()].map(|digit| digit.map_or('0', char::from));
                u8::from_str_radix(&digits.iter().collect::<String>(), 16).unwrap_or(b'?')
            }
            byte => byte,
        });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
