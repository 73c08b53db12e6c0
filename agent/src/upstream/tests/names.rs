//! Names, asked of a small name server of the test's own.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU32},
    },
};

use hickory_resolver::{
    config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts},
    proto::{
        op::{Message, ResponseCode},
        rr::{RData, Record, RecordType},
    },
};
use tokio::net::UdpSocket;

use super::*;
use crate::{
    record::{FailReason, Outcome},
    route::{Answers, At, Endpoint as RouteEndpoint},
    upstream::Unpicked,
};

/// Answers every question for an address with these, or that there is none.
struct NameServer {
    address: SocketAddr,
    addresses: Mutex<Vec<Ipv4Addr>>,
    ttl: AtomicU32,
    questions: AtomicUsize,
    silent: AtomicBool,
}

impl NameServer {
    async fn start(addresses: &[[u8; 4]]) -> Arc<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let server = Arc::new(Self {
            address: socket.local_addr().unwrap(),
            addresses: Mutex::new(Vec::new()),
            ttl: AtomicU32::new(60),
            questions: AtomicUsize::new(0),
            silent: AtomicBool::new(false),
        });
        server.set(addresses);
        let serving = Arc::clone(&server);
        tokio::spawn(async move {
            let mut buffer = [0; 512];
            while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
                let question = Message::from_vec(&buffer[..length]).unwrap();
                if let Some(answer) = serving.answer(&question) {
                    socket.send_to(&answer.to_vec().unwrap(), client).await.unwrap();
                }
            }
        });
        server
    }

    fn set(&self, addresses: &[[u8; 4]]) {
        *self.addresses.lock().unwrap() = addresses.iter().copied().map(Ipv4Addr::from).collect();
    }

    fn answer(&self, question: &Message) -> Option<Message> {
        let query = question.queries[0].clone();
        if query.query_type() == RecordType::A {
            self.questions.fetch_add(1, Ordering::SeqCst);
        }
        if self.silent.load(Ordering::SeqCst) {
            return None;
        }
        let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
        let addresses = self.addresses.lock().unwrap();
        if addresses.is_empty() {
            answer.metadata.response_code = ResponseCode::NXDomain;
        } else if query.query_type() == RecordType::A {
            let ttl = self.ttl.load(Ordering::SeqCst);
            let record =
                |ip: &Ipv4Addr| Record::from_rdata(query.name().clone(), ttl, RData::A((*ip).into()));
            answer.add_answers(addresses.iter().map(record));
        }
        answer.add_query(query);
        Some(answer)
    }

    fn questions(&self) -> usize {
        self.questions.load(Ordering::SeqCst)
    }

    fn names(&self) -> Arc<Names> {
        let mut connection = ConnectionConfig::udp();
        connection.port = self.address.port();
        let server = NameServerConfig::new(self.address.ip(), true, vec![connection]);
        let mut options = ResolverOpts::default();
        options.attempts = 0;
        Names::new(ResolverConfig::from_parts(None, Vec::new(), vec![server]), options)
    }

    fn client(&self) -> (Client<Body>, Arc<Names>) {
        let names = self.names();
        let limits = Limits { connect_timeout: Duration::from_secs(20), ..LIMITS };
        (Client::new(Upstreams::new(limits, 1, Arc::clone(&names)), 0), names)
    }
}

fn named(answers: Answers) -> Arc<Cluster> {
    let name = At::Name { name: "shadow.example.com".into(), port: 80, answers };
    let endpoints = vec![RouteEndpoint { at: name, weight: 1, level: 0 }];
    let settings = Settings { balance: crate::route::Balance::RoundRobin, ..Settings::default() };
    Arc::new(Cluster { endpoints, settings, ..Cluster::plain("outbound|80||shadow.example.com", []) })
}

async fn turn(pool: &Pool<Body>, cluster: &Arc<Cluster>) -> Result<IpAddr, Unpicked> {
    pool.turn(cluster).await.map(|turn| turn.address.ip())
}

/// Waits for the resolution that is under way.
async fn ended(names: &Arc<Names>, work: impl Future) {
    let ended = names.ended();
    work.await;
    timeout(NEVER, ended).await.expect("the resolution should end");
}

#[tokio::test]
async fn every_address_of_a_name_is_an_endpoint_or_the_first_alone() {
    local(async {
        let server = NameServer::start(&[[10, 0, 0, 1], [10, 0, 0, 2]]).await;
        let (client, _) = server.client();
        let all = named(Answers::All);
        let pool = client.pool(&all);
        // The first copy waits for the answer.
        let first = turn(&pool, &all).await.unwrap();
        let second = turn(&pool, &all).await.unwrap();
        assert_ne!(first, second);
        assert_eq!(server.questions(), 1, "the answer is kept for its TTL");
        let (client, _) = server.client();
        let one = named(Answers::First);
        let pool = client.pool(&one);
        let first = turn(&pool, &one).await.unwrap();
        assert_eq!(turn(&pool, &one).await.unwrap(), first);
    })
    .await;
}

#[tokio::test]
async fn an_answer_holds_for_its_ttl_and_beyond_it_until_there_is_another() {
    local(async {
        let server = NameServer::start(&[[10, 0, 0, 1]]).await;
        let (client, names) = server.client();
        let cluster = named(Answers::All);
        let pool = client.pool(&cluster);
        let at = |last| Ok(IpAddr::from([10, 0, 0, last]));
        assert_eq!(turn(&pool, &cluster).await, at(1));
        server.set(&[[10, 0, 0, 2]]);
        advance(Duration::from_secs(58)).await;
        assert_eq!(turn(&pool, &cluster).await, at(1));
        assert_eq!(server.questions(), 1);
        advance(Duration::from_secs(3)).await;
        // Who finds it too old does not wait for the new one. Without copies the sweep asks.
        ended(&names, async { client.sweep() }).await;
        assert_eq!(turn(&pool, &cluster).await, at(2));
        // A name that is gone keeps its last addresses.
        server.set(&[]);
        advance(Duration::from_secs(61)).await;
        ended(&names, async { assert_eq!(turn(&pool, &cluster).await, at(2)) }).await;
        assert_eq!(turn(&pool, &cluster).await, at(2));
        assert_eq!(server.questions(), 3);
    })
    .await;
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_asked_for_less_and_less_often() {
    local(async {
        let server = NameServer::start(&[]).await;
        let (client, names) = server.client();
        let cluster = named(Answers::All);
        let pool = client.pool(&cluster);
        let fault = turn(&pool, &cluster).await.unwrap_err();
        assert_eq!(fault.outcome(), Outcome::Failed(FailReason::Dns));
        for (attempt, wait) in [1, 2, 4, 8].into_iter().enumerate() {
            // Nobody waits for it any more.
            assert_eq!(turn(&pool, &cluster).await, Err(Unpicked::Unresolved));
            assert_eq!(server.questions(), attempt + 1);
            advance(Duration::from_secs(wait)).await;
            ended(&names, async { turn(&pool, &cluster).await.unwrap_err() }).await;
        }
        server.set(&[[10, 0, 0, 9]]);
        advance(Duration::from_secs(60)).await;
        ended(&names, async { turn(&pool, &cluster).await.unwrap_err() }).await;
        assert_eq!(turn(&pool, &cluster).await, Ok([10, 0, 0, 9].into()));
    })
    .await;
}

#[tokio::test]
async fn a_silent_name_server_holds_nobody_up_for_long() {
    local(async {
        let server = NameServer::start(&[[10, 0, 0, 1]]).await;
        server.silent.store(true, Ordering::SeqCst);
        let (client, _) = server.client();
        let cluster = named(Answers::All);
        let pool = client.pool(&cluster);
        let waiting = turn(&pool, &cluster);
        tokio::pin!(waiting);
        assert!(futures_util::poll!(waiting.as_mut()).is_pending());
        // A cluster that also has an address goes on with it.
        let mut both = Cluster { endpoints: cluster.endpoints.clone(), ..Cluster::plain("both", []) };
        both.endpoints.push(SocketAddr::from(([127, 0, 0, 1], 1)).into());
        let both = Arc::new(both);
        assert_eq!(turn(&client.pool(&both), &both).await, Ok([127, 0, 0, 1].into()));
        tokio::time::pause();
        assert_eq!(waiting.await, Err(Unpicked::Unresolved));
        tokio::time::resume();
    })
    .await;
}

#[tokio::test]
async fn the_systems_hosts_are_known() {
    local(async {
        let names = Names::of_system();
        let upstreams = Upstreams::new(LIMITS, 1, names);
        let client: Client<Body> = Client::new(upstreams, 0);
        let name = At::Name { name: "localhost".into(), port: 80, answers: Answers::All };
        let endpoints = vec![RouteEndpoint { at: name, weight: 1, level: 0 }];
        let cluster = Arc::new(Cluster { endpoints, ..Cluster::plain("local", []) });
        assert!(turn(&client.pool(&cluster), &cluster).await.unwrap().is_loopback());
    })
    .await;
}
