//! Whatever arrives is relayed untouched, and whatever can be read is mirrored: changes to HTTP/2 and to other protocols,
//! gRPC, TLS, and servers that speak first, each between real peers or byte by byte.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a suite fails where it stands")]

mod grpc;
mod h2c;
mod opaque;
mod tunnels;

use support::{Agent, Config, Node, Pod, agent};

/// A node with a pod for each part.
struct World {
    node: Node,
    app: Pod,
    shadow: Pod,
    client: Pod,
}

impl World {
    fn new() -> Self {
        let node = Node::new();
        let (app, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
        Self { node, app, shadow, client }
    }

    /// An agent with this configuration, its text changed once more.
    fn agent(&self, config: &Config, change: impl FnOnce(String) -> String) -> Agent {
        let builder = agent(&self.node).logs("info,umbra=debug");
        let yaml = change(config.to_yaml(builder.admin()));
        builder.yaml(&yaml).start()
    }
}
