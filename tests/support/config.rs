//! Configuration for the agent under test, as text: what a user would write.

use std::{fmt::Write as _, net::SocketAddr};

/// One service that is mirrored to others, each with its own share.
#[derive(Clone, Debug)]
pub struct Config {
    agent: String,
    socket: String,
    apps: Vec<SocketAddr>,
    mirrors: Vec<(SocketAddr, f64)>,
    speaking: String,
}

impl Config {
    /// Captures connections to `app` in the namespace of this path.
    pub fn capture(netns: &str, app: SocketAddr) -> Self {
        let agent = format!("  capture:\n    inbound:\n    - netns: {netns}\n");
        Self {
            agent,
            socket: String::new(),
            apps: vec![app],
            mirrors: Vec::new(),
            speaking: "HTTP".to_owned(),
        }
    }

    /// Captures nothing: a plain listener stands before `app`.
    pub fn direct(listen: SocketAddr, app: SocketAddr) -> Self {
        let agent = format!("  capture:\n    direct:\n    - {{listen: '{listen}', upstream: '{app}'}}\n");
        Self { agent, ..Self::capture("host", app) }
    }

    /// A service more, mirrored in the same way.
    #[must_use]
    pub fn also(mut self, app: SocketAddr) -> Self {
        self.apps.push(app);
        self
    }

    /// Copies this percentage of all requests there.
    #[must_use]
    pub fn mirror(mut self, shadow: SocketAddr, percent: f64) -> Self {
        self.mirrors.push((shadow, percent));
        self
    }

    /// The protocol of all shadows' ports, as a ServiceEntry names it; HTTP unless this is called.
    #[must_use]
    pub fn speaking(mut self, protocol: &str) -> Self {
        protocol.clone_into(&mut self.speaking);
        self
    }

    /// A unix socket for the admin window; none unless this is called, for agents of parallel tests share `/run`.
    #[must_use]
    pub fn socket(mut self, path: &std::path::Path) -> Self {
        self.socket = path.display().to_string();
        self
    }

    /// Adds lines to the AgentConfig's `spec`, such as `  shadow: {timeout: 1s}`.
    #[must_use]
    pub fn agent(mut self, yaml: &str) -> Self {
        self.agent.push_str(yaml.trim_end());
        self.agent.push('\n');
        self
    }

    /// The documents, with the admin address the agent is to use.
    pub fn to_yaml(&self, admin: SocketAddr) -> String {
        let mut yaml = format!(
            "apiVersion: umbra.dev/v1alpha1\nkind: AgentConfig\nmetadata: {{name: test}}\nspec:\n  \
             admin: {{address: '{admin}', socket: '{}'}}\n{}",
            self.socket, self.agent
        );
        let mut mirrors = String::new();
        for (index, (shadow, percent)) in self.mirrors.iter().enumerate() {
            yaml.push_str(&service(&format!("shadow-{index}"), *shadow, &self.speaking));
            let host = format!("shadow-{index}.test");
            let _ = writeln!(
                mirrors,
                "    - destination: {{host: {host}}}\n      percentage: {{value: {percent}}}"
            );
        }
        for (index, app) in self.apps.iter().enumerate() {
            let name = if index == 0 { "app".to_owned() } else { format!("app-{index}") };
            yaml.push_str(&service(&name, *app, "HTTP"));
            let _ = write!(
                yaml,
                "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}, namespace: default}}\n\
                 spec:\n  hosts: [{name}.test]\n  http:\n  - name: all\n    route: [{{destination: {{host: {name}.test}}}}]\n    \
                 mirrors:\n{mirrors}"
            );
        }
        yaml
    }
}

fn service(name: &str, endpoint: SocketAddr, protocol: &str) -> String {
    let (address, port) = (endpoint.ip(), endpoint.port());
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}, namespace: default}}\n\
         spec:\n  hosts: [{name}.test]\n  location: MESH_INTERNAL\n  resolution: STATIC\n  \
         ports: [{{number: 80, name: http, protocol: {protocol}, targetPort: {port}}}]\n  endpoints:\n  - {{address: '{address}'}}\n"
    )
}
