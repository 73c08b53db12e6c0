//! Which endpoint gets a request: loadBalancer and outlierDetection.

use crate::config::{
    Code, Located,
    field::{Faults, Field},
    fields::{Fields, Names::Foreign},
    istio::{
        ConsistentHash, Failover, HashKey, LoadBalancer, LocalityLoadBalancer, OutlierDetection,
        SimpleLoadBalancer, Warmup, ZoneAware,
    },
};

const SIMPLE: &[(&str, SimpleLoadBalancer)] = &[
    ("UNSPECIFIED", SimpleLoadBalancer::Unspecified),
    ("LEAST_CONN", SimpleLoadBalancer::LeastConn),
    ("LEAST_REQUEST", SimpleLoadBalancer::LeastRequest),
    ("RANDOM", SimpleLoadBalancer::Random),
    ("ROUND_ROBIN", SimpleLoadBalancer::RoundRobin),
    ("PASSTHROUGH", SimpleLoadBalancer::Passthrough),
];
const KEYS: &[&str] = &["httpHeaderName", "httpCookie", "useSourceIp", "httpQueryParameterName"];

pub(super) fn load_balancer(faults: &mut Faults<'_>, fields: &mut Fields<'_>) -> Option<LoadBalancer> {
    fields.child(faults, "loadBalancer", Foreign, |faults, fields, at| {
        fields.exclusive(faults, &["simple", "consistentHash"]);
        fields.exclusive(faults, &["warmup", "warmupDurationSecs"]);
        fields.exclusive(faults, &["localityLbSetting", "zoneAwareLbSetting"]);
        let simple = fields.one_of(faults, "simple", SIMPLE);
        if simple.as_ref().is_some_and(|simple| simple.value == SimpleLoadBalancer::LeastConn) {
            deprecated(faults, fields, "simple", "write LEAST_REQUEST");
        }
        if fields.has("warmupDurationSecs") {
            deprecated(faults, fields, "warmupDurationSecs", "write warmup: {duration: …}");
        }
        let old = fields.duration(faults, "warmupDurationSecs").map(|duration| Warmup {
            at: duration.at.clone(),
            duration,
            minimum_percent: None,
            aggression: None,
        });
        let warmup = fields.child(faults, "warmup", Foreign, |faults, fields, at| {
            let duration = fields.required(faults, "duration").and_then(|field| field.duration(faults));
            Some(Warmup {
                at,
                duration: duration?,
                minimum_percent: fields
                    .get("minimumPercent")
                    .and_then(|field| field.within(faults, 0.0..=100.0)),
                aggression: fields.get("aggression").and_then(|field| field.within(faults, 1.0..=f64::MAX)),
            })
        });
        Some(LoadBalancer {
            at,
            simple,
            consistent_hash: consistent_hash(faults, fields),
            locality: locality(faults, fields),
            zone_aware: zone_aware(faults, fields),
            warmup: warmup.or(old),
        })
    })
}

fn deprecated(faults: &mut Faults<'_>, fields: &mut Fields<'_>, name: &'static str, hint: &str) {
    if let Some(field) = fields.get(name) {
        field.fault(faults, Code::Deprecated, "deprecated in Istio's API").help(hint);
    }
}

fn consistent_hash(faults: &mut Faults<'_>, fields: &mut Fields<'_>) -> Option<ConsistentHash> {
    fields.child(faults, "consistentHash", Foreign, |faults, fields, at| {
        fields.exclusive(faults, KEYS);
        fields.exclusive(faults, &["ringHash", "maglev"]);
        if !KEYS.iter().any(|name| fields.has(name)) {
            let what = format!("needs one of {}", KEYS.join(", "));
            faults.add(Code::Missing, &at, fields.path(), what);
        }
        let header = fields.word(faults, "httpHeaderName").map(HashKey::Header);
        let cookie = fields.child(faults, "httpCookie", Foreign, |faults, fields, _| {
            let name = fields.required(faults, "name").and_then(|field| field.text(faults));
            let path = fields.plain(faults, "path");
            let ttl = fields.duration(faults, "ttl").map(|ttl| ttl.value);
            fields.items(faults, "attributes", |faults, item| {
                item.map(faults, Foreign, |faults, fields, _| {
                    fields.required(faults, "name");
                    fields.text(faults, "value")
                })
            });
            Some(HashKey::Cookie { name: name?, path, ttl })
        });
        let source = fields.flag(faults, "useSourceIp").filter(|flag| flag.value).map(|_| HashKey::SourceIp);
        let query = fields.word(faults, "httpQueryParameterName").map(HashKey::QueryParameter);
        let size = |faults: &mut Faults<'_>, fields: &mut Fields<'_>, block, name| {
            fields.child(faults, block, Foreign, |faults, fields, _| {
                fields.integer(faults, name, 0..=u64::from(u32::MAX))
            })
        };
        let ring = size(faults, fields, "ringHash", "minimumRingSize");
        let old_ring = fields.integer(faults, "minimumRingSize", 0..=u64::from(u32::MAX));
        Some(ConsistentHash {
            at,
            key: header.or(cookie).or(source).or(query),
            ring_size: ring.or(old_ring),
            maglev_table_size: size(faults, fields, "maglev", "tableSize"),
        })
    })
}

fn locality(faults: &mut Faults<'_>, fields: &mut Fields<'_>) -> Option<LocalityLoadBalancer> {
    fields.child(faults, "localityLbSetting", Foreign, |faults, fields, at| {
        fields.exclusive(faults, &["distribute", "failover", "failoverPriority"]);
        let distribute = fields.items(faults, "distribute", |faults, item| {
            item.map(faults, Foreign, |faults, fields, at| {
                let from =
                    fields.text(faults, "from").unwrap_or_else(|| Located { value: String::new(), at });
                let to = fields.get("to").map(|field| field.entries(faults)).unwrap_or_default();
                let share = |(key, field): (Located<String>, Field<'_>)| {
                    Some((key.value, field.integer(faults, 0..=100)?.value))
                };
                Some((from, to.into_iter().filter_map(share).collect()))
            })
        });
        Some(LocalityLoadBalancer {
            at,
            enabled: fields.flag(faults, "enabled").map(|flag| flag.value),
            distribute,
            failover: fields.items(faults, "failover", failover),
            failover_priority: fields.texts(faults, "failoverPriority"),
        })
    })
}

fn failover(faults: &mut Faults<'_>, field: &Field<'_>) -> Option<Failover> {
    field.map(faults, Foreign, |faults, fields, _| {
        let from = fields.plain(faults, "from").unwrap_or_default();
        Some(Failover { from, to: fields.plain(faults, "to").unwrap_or_default() })
    })
}

fn zone_aware(faults: &mut Faults<'_>, fields: &mut Fields<'_>) -> Option<ZoneAware> {
    fields.child(faults, "zoneAwareLbSetting", Foreign, |faults, fields, at| {
        Some(ZoneAware {
            at,
            enabled: fields.flag(faults, "enabled").map(|flag| flag.value),
            min_cluster_size: fields.integer(faults, "minClusterSize", 0..=u64::from(u32::MAX)),
            failover: fields.items(faults, "failover", failover),
        })
    })
}

pub(super) fn outlier_detection(
    faults: &mut Faults<'_>,
    fields: &mut Fields<'_>,
) -> Option<OutlierDetection> {
    fields.child(faults, "outlierDetection", Foreign, |faults, fields, at| {
        if fields.has("consecutiveErrors") {
            let hint = "write consecutive5xxErrors or consecutiveGatewayErrors";
            deprecated(faults, fields, "consecutiveErrors", hint);
        }
        Some(OutlierDetection {
            at,
            split_external_local_origin_errors: fields
                .flag(faults, "splitExternalLocalOriginErrors")
                .map(|flag| flag.value),
            consecutive_local_origin_failures: fields.integer(
                faults,
                "consecutiveLocalOriginFailures",
                0..=u32::MAX,
            ),
            consecutive_gateway_errors: fields.integer(faults, "consecutiveGatewayErrors", 0..=u32::MAX),
            consecutive_5xx_errors: fields.integer(faults, "consecutive5xxErrors", 0..=u32::MAX),
            consecutive_errors: fields.integer(faults, "consecutiveErrors", 0..=u32::MAX),
            interval: fields.duration(faults, "interval"),
            base_ejection_time: fields.duration(faults, "baseEjectionTime"),
            max_ejection_percent: fields.integer(faults, "maxEjectionPercent", 0..=100),
            min_health_percent: fields.integer(faults, "minHealthPercent", 0..=100),
        })
    })
}
