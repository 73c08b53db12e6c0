//! Real peers: a hyper client and a hyper server talk through a relay, and the reader is asked what they said.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    future::pending,
    sync::{Arc, Mutex},
};

use fastrand::Rng;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody, combinators::BoxBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::Notify,
};

use super::*;
use crate::wire::tests::splits::cut;

type Body = BoxBody<Bytes, Infallible>;

/// One request, as the client sends it or the server got it.
#[derive(Clone, Debug, Default, PartialEq)]
struct Said {
    method: Method,
    headers: BTreeMap<String, Vec<String>>,
    body: Vec<u8>,
    trailers: Option<HeaderMap>,
}

/// What becomes of a request; the first part of its path.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Answered,
    /// Before its body was read.
    AnsweredEarly,
    ResetByServer,
    ResetByClient,
}

#[derive(Default)]
struct World {
    got: Mutex<BTreeMap<String, Said>>,
    /// By path: the server has seen the request.
    hanging: BTreeMap<String, Notify>,
    steps: Mutex<Vec<Step>>,
}

fn body(said: &Said, rng: &mut Rng) -> Body {
    let mut frames = Vec::new();
    let mut rest = &said.body[..];
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rng.usize(1..=rest.len()));
        frames.push(Ok(Frame::data(Bytes::copy_from_slice(piece))));
        rest = after;
    }
    frames.extend(said.trailers.clone().map(|trailers| Ok(Frame::trailers(trailers))));
    BoxBody::new(StreamBody::new(stream::iter(frames)))
}

fn random(rng: &mut Rng) -> Said {
    let mut headers = BTreeMap::new();
    for _ in 0..rng.usize(..6) {
        let name = format!("x-{}", rng.u8(..20));
        // Now and then more than one frame or the table can hold.
        let length = if rng.usize(..30) == 0 { rng.usize(..20_000) } else { rng.usize(..60) };
        let value = std::iter::repeat_with(|| char::from(rng.u8(b'!'..=b'~'))).take(length).collect();
        headers.insert(name, vec![value, "common".to_owned()]);
    }
    let length = [0, 10, 1000, 60_000][rng.usize(..4)];
    let body = std::iter::repeat_with(|| rng.u8(..)).take(length).collect();
    let trailers = (rng.usize(..3) == 0)
        .then(|| HeaderMap::from_iter([("x-sum".parse().unwrap(), HeaderValue::from(rng.u16(..)))]));
    let method = [Method::POST, Method::PUT, Method::GET][rng.usize(..3)].clone();
    Said { method, headers, body, trailers }
}

/// Names and values, those we made up.
fn own_headers(headers: &HeaderMap) -> BTreeMap<String, Vec<String>> {
    let mut own = BTreeMap::<_, Vec<_>>::new();
    for (name, value) in headers.iter().filter(|(name, _)| name.as_str().starts_with("x-")) {
        own.entry(name.to_string()).or_default().push(value.to_str().unwrap().to_owned());
    }
    own
}

async fn serve(request: Request<Incoming>, world: Arc<World>) -> Result<Response<Body>, &'static str> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let empty = Said { headers: own_headers(&parts.headers), ..Said::default() };
    if path.starts_with("/AnsweredEarly") {
        return Ok(Response::builder().status(413).body(self::body(&empty, &mut Rng::new())).unwrap());
    } else if path.starts_with("/ResetByServer") {
        return Err("asked for");
    } else if path.starts_with("/ResetByClient") {
        world.hanging[&path].notify_one();
        return pending().await;
    }
    let Ok(collected) = body.collect().await else { return Err("the client went away") };
    let trailers = collected.trailers().cloned();
    let said = Said { method: parts.method, body: collected.to_bytes().to_vec(), trailers, ..empty };
    let response =
        Response::builder().header("x-length", said.body.len()).body(self::body(&said, &mut Rng::new()));
    world.got.lock().unwrap().insert(path, said);
    Ok(response.unwrap())
}

/// Passes bytes on and writes them down before: no answer to them can be written down earlier.
async fn relay(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    world: Arc<World>,
    made: fn(&[u8]) -> Step,
    end: Step,
) {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let count = from.read(&mut buffer).await.unwrap_or(0);
        let step = if count > 0 { made(&buffer[..count]) } else { end.clone() };
        world.steps.lock().unwrap().push(step);
        if count == 0 || to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (near, far) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    (near.unwrap(), far.unwrap().0)
}

/// Sends all requests at once over one connection. Returns everything that was said, and what the server got.
async fn conversation(
    requests: &BTreeMap<String, (Fate, Said)>,
    rng: &mut Rng,
) -> (Vec<Step>, BTreeMap<String, Said>) {
    let hanging = requests.keys().map(|path| (path.clone(), Notify::new())).collect();
    let world = Arc::new(World { hanging, ..World::default() });
    let (client_end, downstream) = pair().await;
    let (upstream, server_end) = pair().await;
    let ((from_client, to_client), (from_server, to_server)) =
        (downstream.into_split(), upstream.into_split());
    let relays = [
        tokio::spawn(relay(
            from_client,
            to_server,
            Arc::clone(&world),
            |bytes| client(bytes),
            Step::ClientEof,
        )),
        tokio::spawn(relay(
            from_server,
            to_client,
            Arc::clone(&world),
            |bytes| server(bytes),
            Step::ServerEof,
        )),
    ];
    let service = {
        let world = Arc::clone(&world);
        service_fn(move |request| serve(request, Arc::clone(&world)))
    };
    let mut served = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    served.max_frame_size(1 << [14, 15, 20][rng.usize(..3)]).max_header_list_size(1 << 20);
    let served = tokio::spawn(served.serve_connection(TokioIo::new(server_end), service));
    let mut connect = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    connect
        .header_table_size([None, Some(0), Some(300), Some(65_536)][rng.usize(..4)])
        .max_header_list_size(1 << 20);
    let (sender, connection) = connect.handshake(TokioIo::new(client_end)).await.unwrap();
    let connection = tokio::spawn(connection);

    let mut answers = Vec::new();
    for (path, (fate, said)) in requests {
        let mut request = Request::builder().method(said.method.clone()).uri(format!("http://shop{path}"));
        for (name, values) in &said.headers {
            request = values.iter().fold(request, |request, value| request.header(name, value));
        }
        let request = request.body(body(said, rng)).unwrap();
        let (mut sender, fate, world, path) = (sender.clone(), *fate, Arc::clone(&world), path.clone());
        answers.push(tokio::spawn(async move {
            let answer = async {
                if let Ok(response) = sender.send_request(request).await {
                    let _ = response.into_body().collect().await;
                }
            };
            if fate == Fate::ResetByClient {
                tokio::select! {
                    () = answer => {}
                    () = world.hanging[&path].notified() => {}
                }
            } else {
                answer.await;
            }
        }));
    }
    for answer in answers {
        answer.await.unwrap();
    }
    drop(sender);
    let _ = connection.await.unwrap();
    let _ = served.await.unwrap();
    for relay in relays {
        relay.await.unwrap();
    }
    let steps = std::mem::take(&mut *world.steps.lock().unwrap());
    let got = std::mem::take(&mut *world.got.lock().unwrap());
    (steps, got)
}

/// What was told of one exchange.
#[derive(Debug, Default)]
struct Told {
    head: String,
    body: Vec<u8>,
    /// The request's trailers, once it was whole.
    end: Option<String>,
    status: String,
    response_end: bool,
    cut: Option<Cut>,
}

/// By path.
fn by_path(events: &[Event]) -> BTreeMap<String, Told> {
    let mut told = BTreeMap::<u64, Told>::new();
    for event in events {
        match event {
            Event::RequestHead(id, head) => told.entry(*id).or_default().head.clone_from(head),
            Event::RequestData(id, data) => told.entry(*id).or_default().body.extend(data),
            Event::RequestEnd(id, trailers, _) => told.entry(*id).or_default().end = Some(trailers.clone()),
            Event::ResponseHead(id, head) => told.entry(*id).or_default().status.clone_from(head),
            Event::ResponseEnd(id, _) => told.entry(*id).or_default().response_end = true,
            Event::Cut(id, cut) => told.entry(*id).or_default().cut = Some(*cut),
            Event::ResponseTrailers(..) => {}
            Event::Skipped(_) | Event::Unread(_) => panic!("{event:?}"),
        }
    }
    told.into_values().map(|told| (told.head.split(' ').nth(1).unwrap().to_owned(), told)).collect()
}

fn check(path: &str, fate: Fate, said: &Said, told: &Told, got: Option<&Said>) {
    assert!(told.head.starts_with(&format!("{} {path} Http2 ", said.method)), "{}", told.head);
    for (name, value) in
        said.headers.iter().flat_map(|(name, values)| values.iter().map(move |value| (name, value)))
    {
        let field = format!(" {name}:{}", value.as_bytes().escape_ascii());
        assert!(told.head.contains(&field), "{field} in {}", told.head);
    }
    assert!(said.body.starts_with(&told.body), "{path}");
    match fate {
        Fate::Answered => {
            assert_eq!(told.body.len(), said.body.len(), "{path}");
            assert_eq!(Some(said), got, "{path}");
            let trailers = said.trailers.iter().flatten().map(|(name, value)| format!("{name:?}:{value:?} "));
            assert_eq!(told.end, Some(trailers.collect()), "{path}");
            assert!(told.status.starts_with("Http2 200") && told.response_end, "{path} {told:?}");
            assert_eq!(told.cut, None, "{path}");
        }
        Fate::AnsweredEarly => {
            assert!(told.status.starts_with("Http2 413") && told.response_end, "{path} {told:?}");
            assert!(told.end.is_some() || told.cut.is_some(), "{path}");
        }
        Fate::ResetByServer => assert_eq!(told.cut, Some(Cut::ByApp), "{path}"),
        Fate::ResetByClient => assert_eq!(told.cut, Some(Cut::ByClient), "{path}"),
    }
}

#[tokio::test]
async fn the_reader_tells_what_real_peers_said() {
    for seed in 0..6 {
        let mut rng = Rng::with_seed(seed);
        let fates =
            [Fate::Answered, Fate::Answered, Fate::AnsweredEarly, Fate::ResetByServer, Fate::ResetByClient];
        let requests: BTreeMap<_, _> = (0..60)
            .map(|at| {
                let fate = fates[rng.usize(..fates.len())];
                (format!("/{fate:?}/{at}"), (fate, random(&mut rng)))
            })
            .collect();

        let (steps, got) = conversation(&requests, &mut rng).await;

        let events = read(&steps);
        let told = by_path(&events);
        assert_eq!(told.len(), requests.len());
        for (path, (fate, said)) in &requests {
            check(path, *fate, said, &told[path], got.get(path));
        }
        assert_eq!(read(&cut(&steps, &mut rng)), events, "seed {seed}");
    }
}
