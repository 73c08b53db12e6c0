//! Objects made of the fields that the published kinds have, with values right and wrong: reaches where random bytes
//! do not, behind the syntax of YAML. What must hold is what must hold of any text.

use std::{fmt::Write as _, sync::LazyLock};

use arbitrary::{Result, Unstructured};

use super::config;
use crate::{Target, in_workspace};

pub(crate) const TARGET: Target =
    Target { name: "objects", run, max_len: 2048, words: Vec::new, seeds: Vec::new };

/// Values that some field takes, and values that none does.
const VALUES: &[&str] = &[
    "a",
    "b",
    "v1",
    "app",
    "app.default.svc.cluster.local",
    "other.test",
    "\"*\"",
    "\"*.test\"",
    "default",
    "10.0.0.1",
    "10.0.0.2",
    "\"::1\"",
    "0.0.0.0",
    "10.0.0.0/8",
    "300.1.1.1",
    "80",
    "8080",
    "0",
    "65536",
    "-1",
    "1.5",
    "100",
    "0.00001",
    "130",
    ".inf",
    "1e400",
    "true",
    "false",
    "\"true\"",
    "~",
    "\"\"",
    "\" \"",
    "10s",
    "1h",
    "0s",
    "5x",
    "-3s",
    "/",
    "/a",
    "/a/{b}",
    "\"a.*\"",
    "\"(\"",
    "\"(a{99}){99}\"",
    "GET",
    "get",
    "HTTP",
    "TCP",
    "GRPC",
    "http",
    "STATIC",
    "DNS",
    "NONE",
    "MESH_EXTERNAL",
    "mesh",
    "\".\"",
    "PathPrefix",
    "Exact",
    "RegularExpression",
    "ReplacePrefixMatch",
    "RequestMirror",
    "Service",
    "Running",
    "\"é\\0\"",
    "x-user",
    "Authorization",
    "\":authority\"",
    "\"%REQ(x)%\"",
    "\"%\"",
    "10Mi",
    "5%",
    "429",
    "\"5xx,reset\"",
    "2024-01-01T00:00:00Z",
    "&x [1]",
    "*x",
    "VirtualService",
    "UDP",
    "None",
    "ExternalName",
    "LoadBalancer",
    "IPv4",
    "FQDN",
    "Pod",
    "nodejs",
    "truncate",
    "0644",
    "1_000",
    "null",
    "host",
    "127.0.0.1:80",
    "\"[::]:0\"",
    "2562047h48m",
    "9223372036854775807",
    "18446744073709551616",
    "1e18",
    "(?i)a",
    "a=b",
];

/// The kinds that no published list is compared with, in that list's form.
const MORE_KINDS: &str = "
ShadowPolicy
  spec: authority compare hostSuffix methods targetRefs timeout ttl upgrades
  spec.targetRefs: group kind name sectionName
  spec.marker: header value
  spec.headers: add remove set
  spec.redact: headers queryParams replacement
  spec.body: max onExceed
  spec.rateLimit: burst requestsPerSecond
  spec.sampling: mode
  spec.sampling.sticky: cookie header queryParam sourceAddress
  spec.sampling.adaptive: maxLatency
  spec.sampling.adaptive.floor: value
  spec.sampling.adaptive.maxErrors: value
  spec.sampling.coverage: copiesPerSecond kinds
  spec.compare: body headers ignore status
  spec.compare.percentage: value
  spec.record: headers maxBody
  spec.faults.delay: fixedDelay
  spec.faults.delay.percentage: value
  spec.faults.abort.percentage: value
AgentConfig
  spec: drainTimeout workers
  spec.admin: address
  spec.capture: clientAddress exempt
  spec.capture.inbound: netns
  spec.capture.direct: listen upstream
  spec.shadow: connectTimeout connectionsPerEndpoint markerHeader nice timeout workers
  spec.shadow.queue: bytes bytesPerRequest requests
Service
  spec: clusterIP clusterIPs externalName publishNotReadyAddresses type
  spec.selector: app version
  spec.ports: appProtocol name port protocol targetPort
EndpointSlice
  addressType: x
  ports: appProtocol name port protocol
  endpoints: addresses nodeName zone
  endpoints.conditions: ready serving terminating
  endpoints.targetRef: kind name namespace
Pod
  spec: hostNetwork nodeName serviceAccountName
  spec.containers.ports: containerPort name protocol
  status: phase podIP
  status.podIPs: ip
  status.conditions: status type
Namespace
  spec: x
";

/// What makes the other objects meet: a service with two versions, and a rule that mirrors.
const WORLD: &str = "\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: app}
spec:
  hosts: [app.default.svc.cluster.local, other.test]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}]
  endpoints: [{address: 10.0.0.1, labels: {version: v1, app: a}}, {address: 10.0.0.2, labels: {version: v2, app: b}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: app}
spec: {host: app, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: z}
spec: {hosts: [app], http: [{route: [{destination: {host: app, subset: v1}}], mirror: {host: app, subset: v2}}]}
";

/// A field and what is within it.
#[derive(Debug, Default)]
struct Tree {
    name: String,
    fields: Vec<Tree>,
}

impl Tree {
    fn within(&mut self, name: &str) -> &mut Self {
        let known = self.fields.iter().position(|field| field.name == name);
        let index = known.unwrap_or_else(|| {
            self.fields.push(Self { name: name.to_owned(), fields: Vec::new() });
            self.fields.len() - 1
        });
        &mut self.fields[index]
    }
}

/// The kinds with all their fields, from the list that is compared with the published CRDs.
static KINDS: LazyLock<Tree> = LazyLock::new(|| {
    let fields = std::fs::read_to_string(in_workspace("agent/src/config/honoured/fields.txt")).unwrap();
    let (mut kinds, mut kind) = (Tree::default(), String::new());
    for line in fields
        .lines()
        .chain(MORE_KINDS.lines())
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
    {
        let Some((path, names)) = line.trim().split_once(": ").filter(|_| line.starts_with(' ')) else {
            line.trim().clone_into(&mut kind);
            continue;
        };
        let parent = path.split('.').fold(kinds.within(&kind), |parent, name| parent.within(name));
        for name in names.split(' ') {
            parent.within(name);
        }
    }
    kinds
});

fn run(data: &[u8]) {
    let mut bytes = Unstructured::new(data);
    if let Ok(text) = objects(&mut bytes) {
        config::check(&text);
    }
}

fn objects(bytes: &mut Unstructured<'_>) -> Result<String> {
    let mut text = if bytes.ratio(7, 8)? { WORLD.to_owned() } else { String::new() };
    for number in 0..bytes.int_in_range(1..=4)? {
        let kind = bytes.choose(&KINDS.fields)?;
        let api = match kind.name.as_str() {
            "HTTPRoute" | "GRPCRoute" | "ReferenceGrant" => "gateway.networking.k8s.io/v1",
            "EndpointSlice" => "discovery.k8s.io/v1",
            "ShadowPolicy" | "AgentConfig" => "umbra.dev/v1alpha1",
            "Service" | "Pod" | "Namespace" => "v1",
            _ => "networking.istio.io/v1",
        };
        let api = if kind.name == "ReferenceGrant" { "gateway.networking.k8s.io/v1beta1" } else { api };
        // Writing to text cannot fail.
        let _ = write!(text, "---\napiVersion: {api}\nkind: {}\nmetadata: {{name: o{number}", kind.name);
        text += if bytes.ratio(1, 4)? { ", namespace: b, labels: {app: a}}" } else { ", labels: {app: a}}" };
        for field in &kind.fields {
            let _ = write!(text, "\n{}: ", field.name);
            value(bytes, field, &mut text)?;
        }
        text.push('\n');
    }
    Ok(text)
}

/// In flow style: indentation is for others to try.
fn value(bytes: &mut Unstructured<'_>, field: &Tree, text: &mut String) -> Result<()> {
    if bytes.ratio(1, 32)? {
        text.push_str(bytes.choose(VALUES)?);
        return Ok(());
    }
    // The list of fields does not tell lists from maps.
    let list = bytes.ratio(1, 2)?;
    let count = if list { bytes.int_in_range(0..=2)? } else { 1 };
    text.push_str(if list { "[" } else { "" });
    for index in 0..count {
        text.push_str(if index > 0 { ", " } else { "" });
        if field.fields.is_empty() {
            text.push_str(bytes.choose(VALUES)?);
            continue;
        }
        text.push('{');
        let mut written = 0;
        for inner in &field.fields {
            // Few bytes give small objects.
            if bytes.is_empty() || !bytes.ratio(1, 3)? {
                continue;
            }
            text.push_str(if written > 0 { ", " } else { "" });
            written += 1;
            let _ = write!(text, "{}: ", inner.name);
            value(bytes, inner, text)?;
        }
        text.push('}');
    }
    text.push_str(if list { "]" } else { "" });
    Ok(())
}
