//! One app in two versions, whose answers take times and fail in ways that are known, and clients that time each request.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use support::{Agent, AgentBuilder, Node, Pod, Upstream, upstream};

use crate::figures::Answer;

pub(crate) const HOST: &str = "my-app.default.svc.cluster.local";
const CLIENTS: usize = 16;

/// How a version answers. Every fifth request is slow. Both times lie far below the upper bound of their buckets, so that
/// a busy machine does not carry them over it.
#[derive(Clone, Copy)]
struct Manner {
    usual: Duration,
    slow: Duration,
    /// Of so many requests one is answered 503.
    one_fails_of: usize,
}

const V1: Manner =
    Manner { usual: Duration::from_millis(105), slow: Duration::from_millis(260), one_fails_of: 20 };
const V2: Manner =
    Manner { usual: Duration::from_millis(260), slow: Duration::from_millis(510), one_fails_of: 8 };

/// A version of the app, and what it answered.
pub(crate) struct Version {
    upstream: Upstream,
    answers: Arc<Mutex<Vec<Answer>>>,
}

pub(crate) struct Scene {
    pub(crate) agent: Agent,
    pub(crate) primary: Version,
    pub(crate) shadow: Version,
    pub(crate) client: Pod,
    pub(crate) node: Node,
    /// Requests are numbered: by the number both versions know how to answer.
    next: AtomicUsize,
}

impl Version {
    fn start(pod: &Pod, manner: Manner) -> Self {
        let answers = Arc::<Mutex<Vec<Answer>>>::default();
        let told = Arc::clone(&answers);
        let conversation =
            move |connection: support::Recorder| drop(serve(&connection.stream, manner, &told));
        Self { upstream: upstream(pod).port(8080).speaks(conversation).start(), answers }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.upstream.address()
    }

    pub(crate) fn answers(&self) -> Vec<Answer> {
        self.answers.lock().unwrap().clone()
    }
}

/// One connection, request by request.
fn serve(stream: &TcpStream, manner: Manner, told: &Mutex<Vec<Answer>>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while let Some(number) = read_head(&mut reader)? {
        let started = Instant::now();
        thread::sleep(if number.is_multiple_of(5) { manner.slow } else { manner.usual });
        let failed = number % manner.one_fails_of == 1;
        let status = if failed { "503 Service Unavailable" } else { "200 OK" };
        (&*stream).write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\nok").as_bytes())?;
        told.lock().unwrap().push(Answer { took: started.elapsed(), failed });
    }
    Ok(())
}

/// The number that a request asks for; None at the end of the connection.
fn read_head(reader: &mut BufReader<&TcpStream>) -> io::Result<Option<usize>> {
    let (mut number, mut line) = (None, String::new());
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        match (number, line.trim_end()) {
            (None, request) => {
                let path = request.split(' ').nth(1).unwrap_or_default();
                number = Some(path.trim_start_matches('/').parse().unwrap_or(0));
            }
            (Some(number), "") => return Ok(Some(number)),
            _ => {}
        }
    }
}

impl Scene {
    pub(crate) fn new() -> Self {
        let node = Node::new();
        let (app, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
        let (primary, shadow) = (Version::start(&app, V1), Version::start(&shadow, V2));
        let builder = AgentBuilder::new(node.netns());
        let yaml = include_str!("my-app.yaml")
            .replace("ADMIN", &builder.admin().to_string())
            .replace("NETNS", &app.netns().path())
            .replace("V1", &primary.address().ip().to_string())
            .replace("V2", &shadow.address().ip().to_string())
            .replace("CLIENT", &client.ip().to_string());
        let agent = builder.yaml(&yaml).start();
        Self { agent, primary, shadow, client, node, next: AtomicUsize::new(1) }
    }

    /// Sends so many requests, several at once, and returns what their clients saw.
    pub(crate) fn load(&self, requests: usize) -> Vec<Answer> {
        let last = self.next.load(Ordering::Relaxed) + requests;
        let client = || {
            self.client.netns().run(|| {
                let mut stream = TcpStream::connect(self.primary.address()).unwrap();
                stream.set_nodelay(true).unwrap();
                let mut answers = Vec::new();
                while let Some(number) = self.number_below(last) {
                    answers.push(ask(&mut stream, number));
                }
                answers
            })
        };
        thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
            clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
        })
    }

    fn number_below(&self, last: usize) -> Option<usize> {
        let next = |next| (next < last).then_some(next + 1);
        self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).ok()
    }

    /// What the versions answered so far is left out of account.
    pub(crate) fn forget(&self) {
        for version in [&self.primary, &self.shadow] {
            version.answers.lock().unwrap().clear();
        }
    }

    /// A request that is not copied, and a connection that cannot be read.
    pub(crate) fn be_odd(&self) {
        let mut marked = self.client.client(self.primary.address()).header("host", HOST);
        marked = marked.header("x-umbra-shadow", "1");
        marked.get("/2");
        let mut odd = self.client.netns().connect(self.primary.address()).unwrap();
        odd.write_all(b"GET /2 HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n").unwrap();
        odd.read_exact(&mut [0; 15]).unwrap();
    }
}

fn ask(stream: &mut TcpStream, number: usize) -> Answer {
    let started = Instant::now();
    stream.write_all(format!("GET /{number} HTTP/1.1\r\nhost: {HOST}\r\n\r\n").as_bytes()).unwrap();
    let (mut answer, mut piece) = (Vec::new(), [0; 1024]);
    while !answer.ends_with(b"\r\n\r\nok") {
        let read = stream.read(&mut piece).unwrap();
        assert!(read > 0, "the connection ended in {:?}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&piece[..read]);
    }
    Answer { took: started.elapsed(), failed: answer.starts_with(b"HTTP/1.1 503") }
}
