//! What is in force, for a person who asks a running agent: every mirrored service with its rules. Reads the tables of
//! the request path.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::Arc,
};

use serde::Serialize;

use super::{
    Mirror, Rule, Snapshot, Unmirrored,
    matcher::{Block, Text},
    table::{Entry, Ruling, Table},
    trace::Primary,
};

/// A port of a service for which something is mirrored, with the rules for it.
#[derive(Debug)]
pub struct ServiceRules<'s> {
    /// Its host, in full.
    pub service: &'s str,
    pub port: u16,
    /// How many of its endpoints are captured.
    pub endpoints: usize,
    ruling: &'s Ruling,
}

/// One rule, with stable names.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleRow<'s> {
    pub service: &'s str,
    pub port: u16,
    /// How many endpoints of the service are captured.
    pub endpoints: usize,
    /// `VirtualService`, `HTTPRoute`, …
    pub kind: &'static str,
    /// `namespace/name` of the object the rule stands in.
    pub virtual_service: &'s str,
    /// Its index among the rules of the object, delegates in place.
    pub rule: u32,
    pub rule_name: &'s str,
    /// One text for each match block, of which one must hold; conditions joined by commas.
    pub matches: Vec<String>,
    /// `route`, `redirect` or `directResponse`.
    pub action: &'static str,
    pub primary: Vec<Primary>,
    pub mirrors: Vec<Mirroring>,
    /// Why a rule that names mirrors mirrors nothing.
    pub unmirrored: Option<&'static str>,
}

/// A mirror's destination and share.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Mirroring {
    pub host: String,
    pub subset: Option<String>,
    pub port: u16,
    /// Of the rule's requests, 0 to 100.
    pub percentage: f64,
    /// What is within it as a whole: `request`, `key` or `connection`.
    pub drawn_for: &'static str,
}

impl Mirroring {
    pub fn new(mirror: &Mirror) -> Self {
        // The name of a cluster holds its destination: `outbound|80|v2|my-app.default.svc.cluster.local`.
        let mut parts = mirror.cluster.name.splitn(4, '|').skip(1);
        let port = parts.next().and_then(|port| port.parse().ok()).unwrap_or(0);
        let subset = parts.next().filter(|subset| !subset.is_empty()).map(str::to_owned);
        let host = parts.next().unwrap_or_default().to_owned();
        let percentage = f64::from(mirror.share.0) / 10_000.0;
        Self { host, subset, port, percentage, drawn_for: mirror.drawn_for().as_str() }
    }
}

impl Snapshot {
    /// Every mirrored service port, ordered by host and port.
    pub fn services(&self) -> Vec<ServiceRules<'_>> {
        // By place in memory first: there are many endpoints and few services, and comparing names is slow.
        let mut places = HashMap::new();
        for owner in self.ports().flat_map(|(_, rules)| rules.services()) {
            for (port, ruling) in &owner.rulings {
                let new = || ServiceRules { service: &owner.service, port: *port, endpoints: 0, ruling };
                let place = (Arc::as_ptr(&owner.service), Arc::as_ptr(ruling), *port);
                places.entry(place).or_insert_with(new).endpoints += 1;
            }
        }
        let mut services: Vec<_> = places.into_values().filter(|service| service.ruling.mirrors()).collect();
        services.sort_unstable_by_key(|service| (service.service, service.port));
        services.dedup_by(|next, kept| {
            let same = (next.service, next.port) == (kept.service, kept.port);
            kept.endpoints += if same { next.endpoints } else { 0 };
            same
        });
        services
    }

    /// Every mirror that can get a copy, each account once, in no order.
    pub fn mirrors(&self) -> Vec<&Arc<Mirror>> {
        // Many ports share their tables, many ways their rules.
        let (mut tables, mut rules, mut accounts) = (HashSet::new(), HashSet::new(), HashSet::new());
        let mut mirrors = Vec::new();
        let rulings = self.ports().flat_map(|(_, rules)| rules.services()).flat_map(|owner| &owner.rulings);
        for table in rulings.flat_map(|(_, ruling)| ruling.all()) {
            if !tables.insert(Arc::as_ptr(table)) {
                continue;
            }
            for (_, rule) in table.blocks.iter().flat_map(|entry| &entry.ways.destinations) {
                if rules.insert(Arc::as_ptr(rule)) {
                    let new = rule.mirrors.iter().filter(|it| accounts.insert(Arc::as_ptr(&it.account)));
                    mirrors.extend(new);
                }
            }
        }
        mirrors
    }
}

impl<'s> ServiceRules<'s> {
    /// Those of every table, as they were written; one may come several times.
    pub(super) fn written(&self) -> impl Iterator<Item = &'s Rule> + use<'s> {
        self.ruling.all().flat_map(|table| &table.blocks).map(|entry| &*entry.ways.unmirrored)
    }

    /// Those that exist for this port, in the order in which they are tried.
    pub fn rules(&self) -> impl Iterator<Item = RuleRow<'s>> + use<'s> {
        let (service, port, endpoints) = (self.service, self.port, self.endpoints);
        // Clients of several namespaces may share a table.
        let mut seen = HashSet::new();
        self.ruling.all().filter(move |table| seen.insert(Arc::as_ptr(table))).flat_map(move |table| {
            let rules = table.blocks.chunk_by(|one, next| one.id.rule == next.id.rule);
            rules.map(move |blocks| row(service, port, endpoints, table, blocks))
        })
    }
}

fn row<'s>(
    service: &'s str,
    port: u16,
    endpoints: usize,
    table: &'s Table,
    blocks: &'s [Entry],
) -> RuleRow<'s> {
    let ways = &blocks[0].ways;
    let rule: &Rule = ways.destinations.first().map_or(&ways.unmirrored, |(_, rule)| rule);
    // Where a rule mirrors, this is the reason for requests that came by none of its ways.
    let unmirrored = if ways.destinations.is_empty() { rule.unmirrored } else { None };
    RuleRow {
        service,
        port,
        endpoints,
        kind: table.kind,
        virtual_service: &table.object,
        rule: blocks[0].id.rule,
        rule_name: &rule.account.key.rule,
        matches: blocks.iter().map(|entry| entry.block.to_string()).collect(),
        action: rule.action.as_str(),
        primary: Primary::all(rule),
        mirrors: rule.mirrors.iter().map(|mirror| Mirroring::new(mirror)).collect(),
        unmirrored: unmirrored.filter(|why| *why != Unmirrored::Elsewhere).map(Unmirrored::as_str),
    }
}

/// Every condition, as `umbra match` names them; `everything` where there is none.
impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let everything = matches!(&self.path, Text::Prefix(prefix) if **prefix == *b"/");
        let path = (!everything).then(|| format!("uri: {}", self.path));
        let source = (!self.source.is_empty()).then(|| format!("source: {}", self.source));
        let fields = self.fields.iter().map(ToString::to_string);
        let query = self.query.iter().map(|(name, text)| format!("queryParams[{name}]: {text}"));
        let all: Vec<_> = path.into_iter().chain(fields).chain(query).chain(source).collect();
        f.write_str(if all.is_empty() { "everything" } else { "" })?;
        f.write_str(&all.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{Report, Resources, read},
        record::Accounts,
    };

    #[test]
    fn rules_are_listed_once_however_many_endpoints_a_service_has() {
        let text = "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: app}
spec:
  hosts: [app.test]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}, {number: 81, name: http-b, protocol: HTTP}]
  endpoints: [{address: 10.0.0.1, labels: {v: a}}, {address: 10.0.0.2, labels: {v: a}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: app}
spec:
  hosts: [app.test]
  http:
  - name: api
    match: [{uri: {prefix: /api}, method: {exact: GET}}, {uri: {exact: /}, port: 81}]
    route: [{destination: {host: app.test, port: {number: 80}}}]
    mirror: {host: app.test, port: {number: 81}}
    mirrorPercentage: {value: 12.5}
  - route: [{destination: {host: app.test, port: {number: 80}}}]
";
        let (mut resources, mut report) = (Resources::default(), Report::default());
        read("t.yaml", text, &mut resources, &mut report);
        let accounts = Accounts::default();
        let snapshot = Snapshot::compile(&resources, &accounts, &mut report);
        assert!(!report.has_errors(), "{report:?}");

        let services = snapshot.services();
        let found: Vec<_> = services.iter().map(|s| (s.service, s.port, s.endpoints)).collect();
        assert_eq!(found, [("app.test", 80, 2), ("app.test", 81, 2)]);
        let rows: Vec<_> = services[0].rules().collect();
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[0].rule_name, rows[0].virtual_service), ("api", "default/app"));
        assert_eq!(rows[0].matches, ["uri: prefix `/api`, method: exact `GET`"]);
        let mirror = &rows[0].mirrors[0];
        assert_eq!((mirror.host.as_str(), mirror.port, mirror.percentage), ("app.test", 81, 12.5));
        assert_eq!(rows[1].matches, ["everything"]);
        let of_81 = services[1].rules().next().unwrap().matches;
        assert_eq!(of_81.last().unwrap(), "uri: exact `/`", "only for that port");
        assert!(rows[1].mirrors.is_empty() && rows[1].unmirrored.is_none());
        assert!(snapshot.mirrors().iter().all(|mirror| Arc::ptr_eq(&mirror.account, &accounts.all()[0])));
    }
}
