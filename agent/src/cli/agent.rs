//! A running agent, as the commands ask it: over its unix socket or its admin address.

mod follow;

use std::{env, fs, net::SocketAddr, ops::ControlFlow, path::PathBuf, time::Duration};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use clap::Args;
use http::{Method, Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{Response, body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    time::timeout,
};

pub(super) use self::follow::Event;
use crate::config::umbra::{ADMIN_ADDRESS, ADMIN_SOCKET};

/// An agent on the same machine connects at once.
const CONNECT: Duration = Duration::from_secs(3);
/// A page of a large configuration takes a moment.
const ANSWER: Duration = Duration::from_secs(30);
/// Items asked for at once.
const PAGE: usize = 1000;

/// Which agent to ask.
#[derive(Debug, Args)]
pub(super) struct Agent {
    /// Where the agent answers: ADDRESS:PORT or unix:PATH. By default its unix socket, then 127.0.0.1:9977.
    #[arg(long, env = "UMBRA_ADMIN", value_name = "ADDRESS", value_parser = place)]
    admin: Option<Place>,
    /// A file with the token that the agent asks for at its address (spec.admin.tokenFile). Or UMBRA_TOKEN holds the token.
    #[arg(long, value_name = "PATH")]
    token_file: Option<PathBuf>,
}

/// Where an agent answers.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Address(SocketAddr),
    Socket(PathBuf),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Socket(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

fn place(text: &str) -> Result<Place, String> {
    if let Some(path) = text.strip_prefix("unix:").filter(|path| !path.is_empty()) {
        return Ok(Place::Socket(path.into()));
    }
    let address = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
    let address = address.replace("localhost:", "127.0.0.1:");
    address.parse().map(Place::Address).map_err(|_| {
        "write ADDRESS:PORT, such as 127.0.0.1:9977 or [::1]:9977, or unix:/run/umbra/admin.sock".to_owned()
    })
}

impl Agent {
    pub(super) fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.ask(async |connection: &mut Connection| connection.get(path).await)
    }

    /// The first page of a list with the items of all its pages.
    pub(super) fn list(&self, path: &str) -> anyhow::Result<Value> {
        self.ask(async |connection: &mut Connection| {
            let mut first = connection.get(&format!("{path}?limit={PAGE}")).await?;
            let mut rest = first["continue"].take();
            while let Some(token) = rest.as_str() {
                let mut next = connection.get(&format!("{path}?limit={PAGE}&continue={token}")).await?;
                rest = next["continue"].take();
                if let (Value::Array(all), Value::Array(more)) = (&mut first["items"], next["items"].take()) {
                    all.extend(more);
                }
            }
            if let Value::Object(fields) = &mut first {
                fields.remove("continue");
            }
            Ok(first)
        })
    }

    pub(super) fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.ask(async |connection: &mut Connection| {
            connection.exchange(Method::POST, path, body.to_string().into()).await
        })
    }

    /// Succeeds where the agent says yes; else fails with what it says.
    pub(super) fn probe(&self, path: &str) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let answer = self.connect().await?.send(Method::GET, path, Bytes::new()).await?;
            if answer.status().is_success() {
                return Ok(());
            }
            let said = timeout(ANSWER, answer.into_body().collect()).await.context("no whole answer")??;
            bail!("{}", String::from_utf8_lossy(&said.to_bytes()).trim_end())
        })
    }

    /// Hands on what an answer that goes on brings, until it ends, `each` breaks, or Ctrl-C is pressed.
    pub(super) fn follow(
        &self,
        path: &str,
        each: impl FnMut(Event) -> anyhow::Result<ControlFlow<()>>,
    ) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let follow = async {
                let mut connection = self.connect().await?;
                let answer = connection.send(Method::GET, path, Bytes::new()).await?;
                if !answer.status().is_success() {
                    return connection.read(path, answer).await.map(drop);
                }
                follow::read(answer.into_body(), each).await
            };
            tokio::select! {
                followed = follow => followed,
                _ = tokio::signal::ctrl_c() => Ok(()),
            }
        })
    }

    /// For an agent that asks for one.
    fn token(&self) -> anyhow::Result<Option<String>> {
        let read = |path: &PathBuf| {
            fs::read_to_string(path).with_context(|| format!("read the token in {}", path.display()))
        };
        let token = match &self.token_file {
            Some(path) => Some(read(path)?),
            None => env::var("UMBRA_TOKEN").ok(),
        };
        Ok(token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty()))
    }

    fn ask(
        &self,
        question: impl AsyncFnOnce(&mut Connection) -> anyhow::Result<Value>,
    ) -> anyhow::Result<Value> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async { question(&mut self.connect().await?).await })
    }

    async fn connect(&self) -> anyhow::Result<Connection> {
        let usual = || vec![Place::Socket(ADMIN_SOCKET.into()), Place::Address(ADMIN_ADDRESS)];
        let places = self.admin.clone().map_or_else(usual, |place| vec![place]);
        let (mut tried, token) = (String::new(), self.token()?);
        for place in places {
            match timeout(CONNECT, Connection::open(&place)).await {
                Ok(Ok(connection)) => return Ok(connection.with(token)),
                Ok(Err(error)) => tried += &format!("\n  tried {place}: {error:#}"),
                Err(_) => tried += &format!("\n  tried {place}: no answer within {CONNECT:?}"),
            }
        }
        bail!(
            "no agent answers{tried}\nIs `umbra run` running here, and as this user? If its spec.admin says another place, or \
             it runs in another network namespace, name it: --admin ADDRESS:PORT or --admin unix:PATH (UMBRA_ADMIN)."
        )
    }
}

struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    host: String,
    /// Of an agent at an address; a socket asks for none.
    token: Option<String>,
}

impl Connection {
    async fn open(place: &Place) -> anyhow::Result<Self> {
        match place {
            Place::Address(address) => {
                Self::over(TcpStream::connect(address).await?, address.to_string()).await
            }
            Place::Socket(path) => Self::over(UnixStream::connect(path).await?, "localhost".to_owned()).await,
        }
    }

    async fn over(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        host: String,
    ) -> anyhow::Result<Self> {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // Its errors reach the request that meets them.
        tokio::spawn(connection);
        Ok(Self { sender, host, token: None })
    }

    fn with(mut self, token: Option<String>) -> Self {
        self.token = token;
        self
    }

    async fn get(&mut self, path: &str) -> anyhow::Result<Value> {
        self.exchange(Method::GET, path, Bytes::new()).await
    }

    async fn exchange(&mut self, method: Method, path: &str, body: Bytes) -> anyhow::Result<Value> {
        let answer = self.send(method, path, body).await?;
        self.read(path, answer).await
    }

    async fn send(&mut self, method: Method, path: &str, body: Bytes) -> anyhow::Result<Response<Incoming>> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.host)
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Full::new(body)).context("the token or a filter cannot be sent")?;
        let answered = async {
            self.sender.ready().await?;
            self.sender.send_request(request).await
        };
        timeout(ANSWER, answered)
            .await
            .with_context(|| format!("no answer to {path} within {ANSWER:?}: is the agent hung?"))?
            .with_context(|| format!("ask {} for {path}: has the agent just ended?", self.host))
    }

    async fn read(&mut self, path: &str, answer: Response<Incoming>) -> anyhow::Result<Value> {
        let (head, body) = answer.into_parts();
        let body = timeout(ANSWER, body.collect())
            .await
            .with_context(|| format!("no whole answer to {path} within {ANSWER:?}: is the agent hung?"))?
            .with_context(|| format!("ask {} for {path}: has the agent just ended?", self.host))?;
        let answer: Value = serde_json::from_slice(&body.to_bytes()).with_context(|| {
            format!("what answers at {} to {path} is no agent of this version", self.host)
        })?;
        if head.status.is_success() {
            return Ok(answer);
        }
        let (detail, hint) =
            (answer["detail"].as_str().unwrap_or("?"), answer["hint"].as_str().unwrap_or("?"));
        bail!("the agent refuses ({}): {detail}\n  {hint}", head.status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agents_place_is_an_address_or_a_socket() {
        for (text, expected) in [
            ("127.0.0.1:9977", "127.0.0.1:9977"),
            ("http://[::1]:1/", "[::1]:1"),
            ("localhost:9977", "127.0.0.1:9977"),
            ("unix:/a b", "unix:/a b"),
        ] {
            assert_eq!(place(text).unwrap().to_string(), expected);
        }
        for text in ["", "9977", "unix:", "node:9977", "https://127.0.0.1:1", "/run/umbra/admin.sock"] {
            assert!(place(text).is_err(), "{text}");
        }
    }
}
