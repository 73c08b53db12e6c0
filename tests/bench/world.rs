//! The scene: a client and an app joined by a wire, a shadow behind another one. The app's namespace also holds every
//! proxy that is measured, so that all have the same way to the app and to the shadow.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result};
use support::{Agent, AgentBuilder, Client, Link, Netns, Subnet};

use crate::nginx::Nginx;

pub(crate) struct World {
    pub(crate) client: Netns,
    pub(crate) agent: Agent,
    pub(crate) plain: Nginx,
    pub(crate) mirror: Nginx,
    _app: Nginx,
    _shadow: Nginx,
    shadow_netns: Netns,
    _links: [Link; 2],
}

const TO_APP: Subnet = Subnet(1);
const TO_SHADOW: Subnet = Subnet(2);

impl World {
    pub(crate) fn new() -> Result<Self> {
        let (client, app, shadow) = (Netns::new("client"), Netns::new("app"), Netns::new("shadow"));
        let links = [Link::new(&client, &app, "eth0", TO_APP), Link::new(&app, &shadow, "eth0", TO_SHADOW)];
        let shadow_ip = TO_SHADOW.v4(2).to_string();
        let start = |netns, servers: &str, port| {
            Nginx::start(netns, &servers.replace("@shadow@", &shadow_ip), port)
                .with_context(|| format!("start the nginx on port {port}"))
        };
        let servers = [
            start(&app, include_str!("nginx/app.conf"), 8080)?,
            start(&shadow, include_str!("nginx/shadow.conf"), 8080)?,
            start(&app, include_str!("nginx/plain.conf"), 8083)?,
            start(&app, include_str!("nginx/mirror.conf"), 8084)?,
        ];
        let [app_server, shadow_server, plain, mirror] = servers;

        let agent = AgentBuilder::new(&app).logs("warn");
        let config = include_str!("umbra.yaml")
            .replace("@admin@", &agent.admin().to_string())
            .replace("@netns@", &app.path())
            .replace("@app@", &TO_APP.v4(2).to_string())
            .replace("@shadow@", &shadow_ip);
        let agent = agent.yaml(&config).start();
        Ok(Self {
            client,
            agent,
            plain,
            mirror,
            _app: app_server,
            _shadow: shadow_server,
            shadow_netns: shadow,
            _links: links,
        })
    }

    /// A port of the app's namespace, as the client sees it.
    pub(crate) fn address(&self, port: u16) -> SocketAddr {
        (TO_APP.v4(2), port).into()
    }

    /// Requests that the shadow has received, by its own count. Each time it is asked is one more.
    pub(crate) fn arrived(&self) -> Result<u64> {
        let shadow = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080));
        let reply = Client::new(&self.shadow_netns, shadow).get("/arrived").text();
        // `server accepts handled requests`, and their values below.
        let requests = reply.lines().nth(2).and_then(|values| values.split_whitespace().nth(2)?.parse().ok());
        requests.with_context(|| format!("the shadow's nginx did not count:\n{reply}"))
    }
}
