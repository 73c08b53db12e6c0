//! umbra in front of the app's own ports, with everything as it is by default but the number of data threads: one, as
//! the other proxies have.

use std::{fmt::Write as _, net::IpAddr, path::Path};

use support::{Agent, AgentBuilder, Netns};

use super::{APP, Ports, Shadow};
use crate::case::Setting;

/// What the agent's metrics call the rules.
pub(crate) const VIRTUAL_SERVICE: &str = "bench/shop";

pub(crate) fn agent(
    netns: &Netns,
    app: IpAddr,
    (setting, shadow): (Setting, Shadow),
    other: Option<&Path>,
    audit: Option<&Path>,
) -> Agent {
    let agent = AgentBuilder::new(netns).logs("warn");
    let mut yaml = configuration(&agent.admin().to_string(), &netns.path(), audit);
    yaml += &rules(app, setting, shadow);
    let agent = match other {
        Some(binary) => agent.binary(binary),
        None => agent,
    };
    agent.yaml(&yaml).start()
}

fn configuration(admin: &str, netns: &str, audit: Option<&Path>) -> String {
    let audit = audit.map(|file| format!("  audit: {{file: {}}}\n", file.display())).unwrap_or_default();
    format!(
        "apiVersion: umbra.dev/v1alpha1
kind: AgentConfig
metadata: {{name: bench}}
spec:
  admin: {{address: '{admin}', socket: ''}}
  workers: 1
  capture: {{inbound: [{{netns: {netns}}}]}}
{audit}"
    )
}

fn rules(app: IpAddr, setting: Setting, shadow: Shadow) -> String {
    let mut yaml = service_entry("shop", app, APP) + &service_entry("shadow", shadow.ip, shadow.ports);
    if let Setting::Sampled(_) = setting {
        yaml += BY_CONNECTION;
    }
    yaml += "---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop, namespace: bench}
spec:
  hosts: [shop.bench]
  http:
";
    let to =
        |port: u16| format!("    route: [{{destination: {{host: shop.bench, port: {{number: {port}}}}}}}]\n");
    let mirror = |port: u16| format!("    mirror: {{host: shadow.bench, port: {{number: {port}}}}}\n");
    for number in [80, 90, 100] {
        match setting {
            // Without any mirror a port would not be captured at all.
            Setting::Plain => {
                let other = "headers: {x-mirror-me: {exact: 'yes'}}";
                let _ = write!(
                    yaml,
                    "  - match: [{{port: {number}, {other}}}]\n{}{}",
                    to(number),
                    mirror(number)
                );
                let _ = write!(yaml, "  - match: [{{port: {number}}}]\n{}", to(number));
            }
            Setting::Rules(count) => {
                // Only small requests are measured with many.
                let count = if number == 80 { count } else { 1 };
                for rule in 1..=count {
                    let path = format!("uri: {{prefix: /department-{rule}/}}");
                    let _ = write!(
                        yaml,
                        "  - match: [{{port: {number}, {path}}}]\n{}{}",
                        to(number),
                        mirror(number)
                    );
                }
                let _ = write!(yaml, "  - match: [{{port: {number}}}]\n{}", to(number));
            }
            _ => {
                let percent = match setting {
                    Setting::Share(percent) => f64::from(percent),
                    Setting::Sampled(per_million) => f64::from(per_million) / 1e4,
                    _ => 100.0,
                };
                let share = format!("    mirrorPercentage: {{value: {percent}}}\n");
                let _ =
                    write!(yaml, "  - match: [{{port: {number}}}]\n{}{}{share}", to(number), mirror(number));
            }
        }
    }
    yaml
}

const BY_CONNECTION: &str = "---
apiVersion: umbra.dev/v1alpha1
kind: ShadowPolicy
metadata: {name: by-connection, namespace: bench}
spec:
  targetRefs: [{kind: VirtualService, name: shop}]
  sampling: {mode: Connection}
";

fn service_entry(name: &str, ip: IpAddr, Ports { small, uploads, http2 }: Ports) -> String {
    format!(
        "---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}, namespace: bench}}
spec:
  hosts: [{name}.bench]
  location: MESH_INTERNAL
  resolution: STATIC
  ports:
  - {{number: 80, name: http, protocol: HTTP, targetPort: {small}}}
  - {{number: 90, name: http-uploads, protocol: HTTP, targetPort: {uploads}}}
  - {{number: 100, name: http2, protocol: HTTP2, targetPort: {http2}}}
  endpoints: [{{address: {ip}}}]
"
    )
}
