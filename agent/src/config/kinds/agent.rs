//! AgentConfig: every key has a default (`umbra.rs`), a range, and no synonym.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    str::FromStr as _,
    time::Duration,
};

use ipnet::IpNet;

use super::refuse_repeated;
use crate::config::{
    Code, Located, Meta,
    field::{Faults, Field},
    fields::{Fields, Names},
    umbra::{
        Admin, AgentConfig, Audit, AuditTo, Capture, Certificate, ClientAddress, Direct, Inbound, NetnsRef,
        Queue, Shadow,
    },
    values::{self, brief},
};

const QUANTITY: &str = "write bytes like 64Mi, 500k or 4096";
const ADDRESS: &str = "write ADDRESS:PORT, such as 127.0.0.1:9977 or [::1]:9977";
const SOCKET: &str = "write a path such as /run/umbra/admin.sock, or '' for none";
const CRI_SOCKET: &str = "write a path such as /run/containerd/containerd.sock, or '' for none";
const FILE: &str = "write a path from the root, such as /etc/umbra/tls/tls.crt";
const TOKEN: &str = "write a path such as /etc/umbra/token, or '' for none";
const LOG: &str = "write a path such as /var/log/umbra/audit.log";
/// Of a file of the audit log: a line may have some kilobytes, and they are written by the dozen.
const SMALLEST: usize = 64 << 10;
const NETNS: &str = "write `host`, a path such as /run/netns/NAME, pid:NUMBER or pod:UID";
/// Longer than any request lives; a mistyped unit ends here instead of in a hang.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// Present in most requests: as the marker they would stop all mirroring, or break the copy's framing.
const NO_MARKERS: &[&str] = &[
    "host",
    "connection",
    "content-length",
    "content-type",
    "transfer-encoding",
    "upgrade",
    "te",
    "trailer",
    "accept",
];

pub(in crate::config) fn read(faults: &mut Faults<'_>, meta: Meta, mut spec: Fields<'_>) -> AgentConfig {
    let mut config = AgentConfig { meta: Some(meta), ..AgentConfig::default() };
    section(faults, &mut spec, "admin", |faults, fields| admin(faults, fields, &mut config.admin));
    section(faults, &mut spec, "capture", |faults, fields| capture(faults, fields, &mut config.capture));
    section(faults, &mut spec, "shadow", |faults, fields| shadow(faults, fields, &mut config.shadow));
    let written = spec.get("audit").and_then(|field| field.fields(faults));
    config.audit = written.and_then(|fields| audit(faults, fields));
    set(&mut config.workers, spec.get("workers").and_then(|field| field.integer(faults, 0..=1024_usize)));
    let drain = spec.get("drainTimeout").and_then(|field| duration(faults, &field, Duration::ZERO));
    set(&mut config.drain_timeout, drain);
    spec.finish(faults, Names::Umbra);
    config
}

fn admin(faults: &mut Faults<'_>, fields: &mut Fields<'_>, admin: &mut Admin) {
    let address = fields.get("address");
    set(&mut admin.address, address.as_ref().and_then(|field| socket(faults, field)));
    set(&mut admin.socket, fields.get("socket").and_then(|field| field.parsed(faults, SOCKET, path)));
    let token_file = |text: &str| if text.is_empty() { Ok(None) } else { from_root(text).map(Some) };
    set(
        &mut admin.token_file,
        fields.get("tokenFile").and_then(|field| field.parsed(faults, TOKEN, token_file)),
    );
    let keep = fields.get("keepExchanges").and_then(|field| field.integer(faults, 0..=1000_usize));
    set(&mut admin.keep_exchanges, keep);
    let exposed = !admin.address.ip().is_loopback() && admin.token_file.is_none();
    if let Some(address) = address.filter(|_| exposed) {
        let what = format!("whoever reaches {} sees the requests and can pause mirrors", admin.address);
        address
            .fault(faults, Code::Exposed, what)
            .help("name a file with a secret: `tokenFile: /etc/umbra/token`");
    }
}

fn audit(faults: &mut Faults<'_>, mut fields: Fields<'_>) -> Option<Audit> {
    let file = fields.get("file").and_then(|field| field.parsed(faults, LOG, from_root));
    let stdout = fields.get("stdout");
    let to_stdout = stdout.as_ref().and_then(|field| field.boolean(faults)).unwrap_or(false);
    let to = match (file, to_stdout) {
        (Some(_), true) => {
            let stdout = stdout.as_ref()?;
            stdout.fault(faults, Code::Conflict, "excludes `file`").help("keep one of them");
            None
        }
        (Some(file), false) => Some(AuditTo::File(file.value)),
        (None, true) => Some(AuditTo::Stdout),
        (None, false) => {
            fields.required(faults, "file");
            None
        }
    };
    let max_size = fields.get("maxSize").and_then(|field| {
        let size = field.parsed(faults, QUANTITY, values::quantity)?;
        if size.value < SMALLEST {
            let what = format!("{} bytes are less than {SMALLEST}", size.value);
            field.fault(faults, Code::OutOfRange, what).help(QUANTITY);
        }
        Some(size.value)
    });
    let keep = fields.get("keep").and_then(|field| field.integer(faults, 0..=1000_usize));
    let dropped = fields.get("dropped").and_then(|field| field.boolean(faults));
    fields.finish(faults, Names::Umbra);
    Some(Audit {
        to: to?,
        max_size: max_size.unwrap_or(100 << 20),
        keep: keep.map_or(5, |keep| keep.value),
        dropped: dropped.unwrap_or(false),
    })
}

fn capture(faults: &mut Faults<'_>, fields: &mut Fields<'_>, capture: &mut Capture) {
    let mut items =
        |faults: &mut Faults<'_>, name| fields.get(name).map(|field| field.list(faults)).unwrap_or_default();
    capture.inbound = items(faults, "inbound").iter().filter_map(|item| inbound(faults, item)).collect();
    capture.direct = items(faults, "direct").iter().filter_map(|item| direct(faults, item)).collect();
    capture.exempt = items(faults, "exempt").iter().filter_map(|item| network(faults, item)).collect();
    capture.tls = items(faults, "tls").iter().filter_map(|item| certificate(faults, item)).collect();
    let exempt_node = fields.get("exemptNode").and_then(|field| field.boolean(faults));
    capture.exempt_node = exempt_node.unwrap_or(capture.exempt_node);
    let cri_socket = fields.get("criSocket").and_then(|field| field.parsed(faults, CRI_SOCKET, path));
    set(&mut capture.cri_socket, cri_socket);
    let names =
        &[("auto", ClientAddress::Auto), ("keep", ClientAddress::Keep), ("local", ClientAddress::Local)];
    set(
        &mut capture.client_address,
        fields.get("clientAddress").and_then(|field| field.one_of(faults, names)),
    );
    refuse_repeated(
        faults,
        "spec.capture.inbound",
        "the namespace",
        capture.inbound.iter().map(|inbound| &inbound.netns),
    );
    refuse_repeated(
        faults,
        "spec.capture.direct",
        "the address",
        capture.direct.iter().map(|direct| &direct.listen),
    );
}

fn inbound(faults: &mut Faults<'_>, field: &Field<'_>) -> Option<Inbound> {
    let mut fields = field.fields(faults)?;
    let netns =
        fields.required(faults, "netns").and_then(|field| field.parsed(faults, NETNS, NetnsRef::from_str));
    fields.finish(faults, Names::Umbra);
    Some(Inbound { netns: netns? })
}

fn direct(faults: &mut Faults<'_>, field: &Field<'_>) -> Option<Direct> {
    let mut fields = field.fields(faults)?;
    let listen = fields.required(faults, "listen").and_then(|field| socket(faults, &field));
    let upstream = fields.required(faults, "upstream").and_then(|field| {
        let upstream = socket(faults, &field)?;
        if upstream.port() == 0 {
            field.fault(faults, Code::OutOfRange, "port 0 is not within 1..=65535");
        }
        Some(upstream)
    });
    fields.finish(faults, Names::Umbra);
    let (listen, upstream) = (listen?, upstream?.value);
    let itself = |address: IpAddr| {
        address == upstream.ip() || (address.is_unspecified() && upstream.ip().is_loopback())
    };
    if listen.port() == upstream.port() && itself(listen.ip()) {
        let what = format!("{} leads back to the listener {}", upstream, *listen);
        field.fault(faults, Code::Conflict, what).help("name the address at which the app itself listens");
    }
    Some(Direct { listen, upstream })
}

fn certificate(faults: &mut Faults<'_>, field: &Field<'_>) -> Option<Certificate> {
    let mut fields = field.fields(faults)?;
    let port = fields.required(faults, "port").and_then(|field| field.port(faults));
    let mut file =
        |name| fields.required(faults, name).and_then(|field| field.parsed(faults, FILE, from_root));
    let (certificate, private_key) = (file("certificate"), file("privateKey"));
    fields.finish(faults, Names::Umbra);
    Some(Certificate { port: port?, certificate: certificate?, private_key: private_key? })
}

fn network(faults: &mut Faults<'_>, field: &Field<'_>) -> Option<IpNet> {
    let parse = |text: &str| match text.parse::<IpAddr>() {
        Ok(address) => Ok(IpNet::from(address)),
        Err(_) => text.parse::<IpNet>().map_err(|_| format!("`{text}` is neither an address nor a network")),
    };
    field.parsed(faults, "write 10.0.0.0/8, fd00::/8 or a single address", parse).map(|net| net.value.trunc())
}

fn shadow(faults: &mut Faults<'_>, fields: &mut Fields<'_>, shadow: &mut Shadow) {
    set(&mut shadow.workers, fields.get("workers").and_then(|field| field.integer(faults, 1..=64_usize)));
    set(&mut shadow.nice, fields.get("nice").and_then(|field| field.integer(faults, 0..=19_i32)));
    let mut time = |name, slot: &mut Duration| {
        set(slot, fields.get(name).and_then(|field| duration(faults, &field, Duration::from_millis(1))));
    };
    time("timeout", &mut shadow.timeout);
    time("connectTimeout", &mut shadow.connect_timeout);
    let connections =
        fields.get("connectionsPerEndpoint").and_then(|field| field.integer(faults, 1..=65_535_usize));
    set(&mut shadow.connections_per_endpoint, connections);
    set(&mut shadow.marker_header, fields.get("markerHeader").and_then(|field| marker(faults, &field)));
    section(faults, fields, "queue", |faults, fields| queue(faults, fields, &mut shadow.queue));
}

pub(super) fn marker(faults: &mut Faults<'_>, field: &Field<'_>) -> Option<Located<String>> {
    let name = field.text(faults)?.value;
    // Reading lowers the case, as headers of HTTP/2 need.
    let lower = http::HeaderName::from_bytes(name.as_bytes()).ok().map(|name| name.as_str().to_owned());
    let Some(lower) = lower.filter(|name| !NO_MARKERS.contains(&name.as_str())) else {
        let what = format!("`{name}` cannot mark a copy");
        field
            .fault(faults, Code::BadValue, what)
            .help("write a header name of your own, such as x-umbra-shadow");
        return None;
    };
    Some(field.located(lower))
}

fn queue(faults: &mut Faults<'_>, fields: &mut Fields<'_>, queue: &mut Queue) {
    set(
        &mut queue.requests,
        fields.get("requests").and_then(|field| field.integer(faults, 1..=1_000_000_usize)),
    );
    let mut bytes = |name, slot: &mut usize| {
        let Some(field) = fields.get(name) else { return };
        let Some(amount) = field.parsed(faults, QUANTITY, values::quantity) else { return };
        if amount.value == 0 {
            field.fault(faults, Code::OutOfRange, "0 bytes leave room for nothing").help(QUANTITY);
        }
        *slot = amount.value;
    };
    bytes("bytes", &mut queue.bytes);
    bytes("bytesPerRequest", &mut queue.bytes_per_request);
}

/// Reads a map within the map, if it is there.
fn section(
    faults: &mut Faults<'_>,
    fields: &mut Fields<'_>,
    name: &'static str,
    read: impl FnOnce(&mut Faults<'_>, &mut Fields<'_>),
) {
    if let Some(mut inner) = fields.get(name).and_then(|field| field.fields(faults)) {
        read(faults, &mut inner);
        inner.finish(faults, Names::Umbra);
    }
}

fn set<T>(slot: &mut T, value: Option<Located<T>>) {
    if let Some(value) = value {
        *slot = value.value;
    }
}

fn duration(faults: &mut Faults<'_>, field: &Field<'_>, shortest: Duration) -> Option<Located<Duration>> {
    let read = field.duration(faults)?;
    if !(shortest..=LONGEST).contains(&read.value) {
        let what = format!("{} is not within {}..=24h", brief(read.value), brief(shortest));
        field.fault(faults, Code::OutOfRange, what);
        return None;
    }
    Some(read)
}

fn from_root(text: &str) -> Result<PathBuf, String> {
    match text.starts_with('/') {
        true => Ok(PathBuf::from(text)),
        false => Err(format!("`{text}` is not a path from the root")),
    }
}

/// A path from the root, short enough for the address of a unix socket (unix(7): 108 bytes with a zero at the end).
fn path(text: &str) -> Result<Option<PathBuf>, String> {
    match text {
        "" => Ok(None),
        text if !text.starts_with('/') => Err(format!("`{text}` is not a path from the root")),
        text if text.len() > 107 => {
            Err(format!("`{text}` is longer than the 107 bytes a socket's path may have"))
        }
        text => Ok(Some(text.into())),
    }
}

fn socket(faults: &mut Faults<'_>, field: &Field<'_>) -> Option<Located<SocketAddr>> {
    field.parsed(faults, ADDRESS, |text| {
        text.parse().map_err(|_| format!("`{text}` is not an address with a port"))
    })
}
