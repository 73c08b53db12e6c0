//! What the API server answers a watch with: a line for each event, for as long as it likes. And what goes wrong on the way.

use std::{fmt, time::Duration};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use kube::{Client, client::Body};
use serde_json::Value;

/// No object is larger: etcd takes 1.5 MiB of each as a rule.
const LONGEST: usize = 32 << 20;

/// Why the server cannot be followed.
#[derive(Debug)]
pub(super) struct Trouble {
    /// What the server answered with. None: it did not.
    pub(super) status: Option<u16>,
    why: String,
}

/// The body of an answer, being read.
pub(super) struct Lines {
    body: Body,
    /// What came and was not handed out.
    rest: BytesMut,
    /// Of it, how much has no line's end.
    searched: usize,
}

impl Lines {
    /// Asks, and returns once the server has begun to answer.
    pub(super) async fn open(client: &Client, request: http::Request<Vec<u8>>) -> Result<Self, Trouble> {
        let answer = client.send(request.map(Body::from)).await?;
        let status = answer.status();
        let mut lines = Self { body: answer.into_body(), rest: BytesMut::new(), searched: 0 };
        if status.is_success() {
            return Ok(lines);
        }
        let said = lines.next().await.ok().flatten().unwrap_or_default();
        let said = serde_json::from_slice::<Value>(&said).unwrap_or_default();
        let why = said["message"].as_str().map_or_else(|| status.to_string(), str::to_owned);
        Err(Trouble { status: Some(status.as_u16()), why })
    }

    /// None at the end. What of a line came before an end without one is of no use.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Trouble> {
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.rest[self.searched..]) {
                let line = self.rest.split_to(self.searched + end + 1);
                self.searched = 0;
                return Ok(Some(line.freeze()));
            }
            self.searched = self.rest.len();
            if self.searched > LONGEST {
                return Err(Trouble::other(format!("a line of more than {} MiB", LONGEST >> 20)));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.rest.extend_from_slice(&data);
                    }
                }
                Some(Err(error)) => return Err(Trouble::other(error)),
                None if self.rest.is_empty() => return Ok(None),
                // An answer of one object may end without a line's end.
                None => {
                    self.searched = 0;
                    return Ok(Some(self.rest.split().freeze()));
                }
            }
        }
    }
}

impl Trouble {
    pub(super) fn other(why: impl fmt::Display) -> Self {
        Self { status: None, why: why.to_string() }
    }

    pub(super) fn silent(time: Duration) -> Self {
        Self::other(format!("the API server said nothing for {time:?}"))
    }

    /// Of a kind that another way of asking may help with.
    pub(super) fn refused(why: &str) -> Self {
        Self { status: Some(400), why: why.to_owned() }
    }

    /// By a `Status` object.
    pub(super) fn of_status(status: &Value) -> Self {
        let code = status["code"].as_u64().and_then(|code| u16::try_from(code).ok());
        let why = status["message"].as_str().unwrap_or("an error without a message");
        Self { status: Some(code.unwrap_or(500)), why: why.to_owned() }
    }

    /// What was asked for is not understood, or the answer never came: not that the asker is unknown, or asks too often.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self.status, Some(400 | 405 | 406 | 415 | 422))
    }
}

impl From<kube::Error> for Trouble {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self { status: Some(status.code), why: status.message.clone() },
            // With what lies below: "error trying to connect" alone helps nobody.
            other => Self::other(format!("{:#}", anyhow::Error::from(other))),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            Some(status) => write!(f, "{} ({status})", self.why),
            None => f.write_str(&self.why),
        }
    }
}
