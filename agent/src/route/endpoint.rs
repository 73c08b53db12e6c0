//! Where copies can be sent: an address, or a name that the shadow plane resolves.

use std::{fmt, net::SocketAddr, sync::Arc};

/// One endpoint of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub at: At,
    /// Its share of copies among the cluster's others; at least 1. Every address of a name has it.
    pub weight: u32,
    /// 0 for the nearest; the next one's get what those of a level cannot take.
    pub level: u8,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At {
    Address(SocketAddr),
    Name { name: Arc<str>, port: u16, answers: Answers },
}

/// Which addresses of a name are endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    /// `resolution: DNS`: each of them.
    All,
    /// `resolution: DNS_ROUND_ROBIN`: the first of the latest answer.
    First,
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Self { at: At::Address(address), weight: 1, level: 0 }
    }
}

/// `10.0.0.1:8080`, `api.example.com:443`
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.at {
            At::Address(address) => address.fmt(f),
            At::Name { name, port, .. } => write!(f, "{name}:{port}"),
        }
    }
}
