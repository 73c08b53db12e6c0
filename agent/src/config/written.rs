//! Configuration back as documents: what was read, and the AgentConfig in force with every default filled in. For a
//! person who asks a running agent.

use std::{path::PathBuf, time::Duration};

use serde_json::{Value, json};

use super::{
    Sources, decode,
    umbra::{Admin, AgentConfig, Audit, AuditTo, Capture, Certificate, ClientAddress, Queue, Shadow},
};

/// One document of a source, not read again before it is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Document<'s> {
    pub file: &'s str,
    /// Counts from 0 within the file.
    pub index: usize,
    text: &'s str,
}

impl Sources {
    /// Every document, in the order of the files' names.
    pub fn documents(&self) -> impl Iterator<Item = Document<'_>> {
        self.iter().flat_map(|(file, text)| {
            decode::split(text).enumerate().map(move |(index, text)| Document { file, index, text })
        })
    }
}

impl Document<'_> {
    /// The objects in it: one, or none where it is empty. A `List` stays one.
    pub fn to_json(&self) -> Vec<Value> {
        decode::json(self.text).into_iter().filter(|object| !object.is_null()).collect()
    }
}

impl AgentConfig {
    /// The document that says the same, with every key.
    pub fn to_json(&self) -> Value {
        let Self { meta, admin, capture, shadow, audit, workers, drain_timeout } = self;
        let Admin { address, socket, token_file, keep_exchanges } = admin;
        let path =
            |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
        let (socket, token_file) = (path(socket), path(token_file));
        let Capture { inbound, direct, exempt, exempt_node, cri_socket, client_address, tls } = capture;
        let cri_socket = path(cri_socket);
        let inbound = inbound.iter().map(|inbound| json!({"netns": inbound.netns.value.to_string()}));
        let direct =
            direct.iter().map(|direct| json!({"listen": *direct.listen, "upstream": direct.upstream}));
        let tls = tls.iter().map(|Certificate { port, certificate, private_key }| {
            json!({"port": **port, "certificate": **certificate, "privateKey": **private_key})
        });
        let exempt: Vec<_> = exempt.iter().map(ToString::to_string).collect();
        let mut document = json!({
            "apiVersion": "umbra.dev/v1alpha1",
            "kind": "AgentConfig",
            "metadata": {"name": meta.as_ref().map_or("default", |meta| meta.name.as_str())},
            "spec": {
                "workers": workers,
                "drainTimeout": duration(*drain_timeout),
                "admin": {
                    "address": address,
                    "socket": socket,
                    "tokenFile": token_file,
                    "keepExchanges": keep_exchanges,
                },
                "capture": {
                    "inbound": inbound.collect::<Value>(),
                    "direct": direct.collect::<Value>(),
                    "exempt": exempt,
                    "exemptNode": exempt_node,
                    "criSocket": cri_socket,
                    "clientAddress": match client_address {
                        ClientAddress::Auto => "auto",
                        ClientAddress::Keep => "keep",
                        ClientAddress::Local => "local",
                    },
                    "tls": tls.collect::<Value>(),
                },
                "shadow": shadow_json(shadow),
            },
        });
        if let Some(audit) = audit {
            document["spec"]["audit"] = audit_json(audit);
        }
        document
    }
}

fn audit_json(Audit { to, max_size, keep, dropped }: &Audit) -> Value {
    let (to, place) = match to {
        AuditTo::File(path) => ("file", json!(path)),
        AuditTo::Stdout => ("stdout", json!(true)),
    };
    json!({to: place, "maxSize": quantity(*max_size), "keep": keep, "dropped": dropped})
}

fn shadow_json(shadow: &Shadow) -> Value {
    let Shadow { workers, nice, timeout, connect_timeout, connections_per_endpoint, queue, marker_header } =
        shadow;
    let Queue { requests, bytes, bytes_per_request } = queue;
    json!({
        "workers": workers,
        "nice": nice,
        "timeout": duration(*timeout),
        "connectTimeout": duration(*connect_timeout),
        "connectionsPerEndpoint": connections_per_endpoint,
        "markerHeader": marker_header,
        "queue": {"requests": requests, "bytes": quantity(*bytes), "bytesPerRequest": quantity(*bytes_per_request)},
    })
}

/// `1.5s`, `10ms`: what Rust writes, Go and so Istio's notation reads.
fn duration(duration: Duration) -> String {
    if duration.is_zero() { "0s".to_owned() } else { format!("{duration:?}") }
}

/// `64Mi`, `4096`
fn quantity(bytes: usize) -> String {
    let units = [(30, "Gi"), (20, "Mi"), (10, "Ki")];
    let unit = units.iter().find(|(shift, _)| bytes > 0 && bytes.trailing_zeros() >= *shift);
    unit.map_or_else(|| bytes.to_string(), |(shift, unit)| format!("{}{unit}", bytes >> shift))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::clean;

    #[test]
    fn an_agent_config_reads_back_as_it_was_in_force() {
        let changed = "apiVersion: umbra.dev/v1alpha1\nkind: AgentConfig\nmetadata: {name: a}\nspec:\n  drainTimeout: 0s\n  \
                       admin: {address: '[::1]:1', socket: '', tokenFile: /t, keepExchanges: 7}\n  audit: {stdout: true, keep: 0}\n  capture:\n    inbound: [{netns: host}, {netns: 'pid:7'}, {netns: 'pod:0b1f-7'}]\n    \
                       direct: [{listen: 127.0.0.1:0, upstream: 127.0.0.1:2}]\n    exempt: [10.1.2.3, fd00::/8]\n    exemptNode: true\n    criSocket: /c\n    \
                       clientAddress: keep\n    tls: [{port: 1, certificate: /a, privateKey: /b}]\n  shadow: {timeout: 1.5s, connectTimeout: 10ms, queue: {bytes: 1Gi, bytesPerRequest: 70001}}\n";
        for text in [include_str!("../../../config/agent.yaml"), changed] {
            let read = *clean(text).agent.unwrap();
            let again = *clean(&read.to_json().to_string()).agent.unwrap();
            assert_eq!(again.to_json(), read.to_json());
            assert_eq!(AgentConfig { meta: None, ..again }, AgentConfig { meta: None, ..read });
        }
        let shipped = *clean(include_str!("../../../config/agent.yaml")).agent.unwrap();
        assert_eq!(AgentConfig { meta: None, ..shipped }, AgentConfig::default());
    }

    #[test]
    fn documents_come_back_as_they_were_written() {
        let mut sources = Sources::default();
        sources.insert("a.yaml", "# nothing\n---\na: 1\nb: [x, 1.5, true, '1']\n---\n---\nc: |\n  text\n");
        let found: Vec<_> = sources.documents().flat_map(|document| document.to_json()).collect();
        assert_eq!(found, [json!({"a": 1, "b": ["x", 1.5, true, "1"]}), json!({"c": "text\n"})]);
    }
}
