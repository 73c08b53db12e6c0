//! The scene: a client and v1 of an app joined by a wire, v2 behind another one, and the agent on the host. Each in a
//! namespace of its own; all of it gone when dropped.

use std::net::IpAddr;

use support::{Agent, AgentBuilder, Client, Link, Load, Netns, Subnet, Upstream, UpstreamBuilder};

pub(crate) const HOST: &str = "my-app.default.svc.cluster.local";

pub(crate) struct World {
    pub(crate) v1: Upstream,
    pub(crate) v2: Upstream,
    client: Netns,
    client_subnet: Subnet,
    /// The host keeps its end of a wire until told otherwise.
    _links: [Link; 2],
}

impl World {
    pub(crate) fn new() -> Self {
        let (host, client) = (Netns::host(), Netns::new("client"));
        let (app, shadow) = (Netns::new("app-v1"), Netns::new("shadow-v2"));
        let (client_subnet, shadow_subnet) = (Subnet(1), Subnet::free_on_host());
        let links = [
            Link::new(&client, &app, "eth0", client_subnet),
            // Copies leave from where the agent runs.
            Link::new(&host, &shadow, "eth0", shadow_subnet),
        ];
        let v1 = UpstreamBuilder::new(&app, client_subnet.v4(2)).named("v1").port(8080).start();
        let v2 = UpstreamBuilder::new(&shadow, shadow_subnet.v4(2)).named("v2").port(8080).start();
        Self { v1, v2, client, client_subnet, _links: links }
    }

    pub(crate) fn start_agent(&self) -> Agent {
        let host = Netns::host();
        let agent = AgentBuilder::new(&host);
        let config = include_str!("my-app.yaml")
            .replace("@admin@", &agent.admin().to_string())
            .replace("@netns@", &self.v1.netns().path())
            .replace("@v1@", &self.v1.address().ip().to_string())
            .replace("@v2@", &self.v2.address().ip().to_string());
        agent.yaml(&config).start()
    }

    /// A real client of v1: it knows nothing of umbra.
    pub(crate) fn client(&self) -> Client<'_> {
        Client::new(&self.client, self.v1.address()).header("host", HOST)
    }

    pub(crate) fn client_address(&self) -> IpAddr {
        self.client_subnet.v4(1)
    }

    /// The client's namespace, as `ip netns exec` wants it.
    pub(crate) fn client_netns(&self) -> &str {
        self.client.name().unwrap_or_default()
    }

    pub(crate) fn load(&self, clients: usize) -> Load {
        Load::start(&self.client, self.v1.address(), clients)
    }
}
