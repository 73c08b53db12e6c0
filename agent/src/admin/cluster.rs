//! The cluster as a source of the configuration, in the status of the agent: is every change heard of, and what of it is not in
//! force.

use std::time::Duration;

use serde::{Serialize, Serializer};

/// With stable names.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cluster {
    /// Of the API server.
    pub server: String,
    pub kinds: Vec<Kind>,
    pub fault_count: usize,
    /// The first of them.
    pub faults: Vec<Faulty>,
    /// Objects that stand in a file too, which wins.
    pub overruled: Vec<String>,
    /// Where the agent is to write the status of objects.
    pub status: Option<Writer>,
}

/// How the writing of status stands.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Writer {
    /// The agent that writes, the one of all; None: nobody that is known.
    pub writer: Option<String>,
    /// It is this one.
    pub here: bool,
    /// Objects whose status this agent has written since its start.
    pub written: u64,
    /// How long ago the last one was.
    #[serde(rename = "lastSeconds", serialize_with = "some_seconds")]
    pub last: Option<Duration>,
    /// Why it cannot be written.
    pub why: Option<String>,
}

/// One kind that is watched.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Kind {
    pub kind: &'static str,
    /// `networking.istio.io/v1`
    pub version: Option<String>,
    /// `listing`, `following`, `away`, `notInstalled` or `forbidden`.
    pub state: &'static str,
    /// Since it has been so.
    #[serde(rename = "sinceSeconds", serialize_with = "seconds")]
    pub since: Duration,
    /// How old what is known is: 0 while changes are heard of.
    #[serde(rename = "ageSeconds", serialize_with = "seconds")]
    pub age: Duration,
    pub objects: usize,
    /// Of them, those whose newest version is not in force.
    pub faulty: usize,
    pub why: Option<String>,
}

/// An object that is not in force as it is written.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Faulty {
    /// `VirtualService shop/cart`
    pub object: String,
    pub message: String,
    /// What is done about it.
    pub effect: &'static str,
    #[serde(rename = "ageSeconds", serialize_with = "seconds")]
    pub age: Duration,
}

fn some_seconds<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(super::seconds).serialize(serializer)
}

fn seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    super::seconds(*time).serialize(serializer)
}
