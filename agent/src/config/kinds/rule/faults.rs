//! What a rule does when requests fail, or to make them fail: retries and fault injection.

use super::percent;
use crate::config::{
    Code,
    field::Faults,
    fields::{Fields, Names::Foreign},
    istio::{AbortError, Fault, FaultAbort, FaultDelay, Retries},
};

pub(super) fn retries(faults: &mut Faults<'_>, rule: &mut Fields<'_>) -> Option<Retries> {
    rule.child(faults, "retries", Foreign, |faults, fields, at| {
        Some(Retries {
            at,
            attempts: fields.integer(faults, "attempts", 0..=i32::MAX),
            per_try_timeout: fields.duration(faults, "perTryTimeout"),
            retry_on: fields.word(faults, "retryOn"),
            retry_remote_localities: fields.flag(faults, "retryRemoteLocalities").map(|flag| flag.value),
            retry_ignore_previous_hosts: fields
                .flag(faults, "retryIgnorePreviousHosts")
                .map(|flag| flag.value),
            backoff: fields.duration(faults, "backoff"),
        })
    })
}

pub(super) fn fault(faults: &mut Faults<'_>, rule: &mut Fields<'_>) -> Option<Fault> {
    rule.child(faults, "fault", Foreign, |faults, fields, at| {
        let delay = delay(faults, fields);
        let abort = abort(faults, fields);
        if !fields.has("delay") && !fields.has("abort") {
            faults.add(Code::Missing, &at, fields.path(), "needs `delay` or `abort`");
        }
        Some(Fault { at, delay, abort })
    })
}

fn delay(faults: &mut Faults<'_>, fields: &mut Fields<'_>) -> Option<FaultDelay> {
    fields.child(faults, "delay", Foreign, |faults, fields, at| {
        fields.exclusive(faults, &["fixedDelay", "exponentialDelay"]);
        Some(FaultDelay {
            at,
            percentage: percent(faults, fields, "percentage", Foreign),
            percent: fields.integer(faults, "percent", 0..=100),
            fixed: fields.duration(faults, "fixedDelay"),
            exponential: fields.get("exponentialDelay").map(|field| field.at().clone()),
        })
    })
}

fn abort(faults: &mut Faults<'_>, fields: &mut Fields<'_>) -> Option<FaultAbort> {
    fields.child(faults, "abort", Foreign, |faults, fields, at| {
        fields.exclusive(faults, &["httpStatus", "grpcStatus", "http2Error"]);
        let percentage = percent(faults, fields, "percentage", Foreign);
        let http = fields.get("httpStatus").and_then(|field| {
            let status = field.integer(faults, 200..=599)?;
            Some(field.located(AbortError::HttpStatus(status.value)))
        });
        let mut text = |name, make: fn(String) -> AbortError| {
            let field = fields.get(name)?;
            field.text(faults).map(|text| field.located(make(text.value)))
        };
        let grpc = text("grpcStatus", AbortError::GrpcStatus);
        let http2 = text("http2Error", AbortError::Http2Error);
        if !["httpStatus", "grpcStatus", "http2Error"].iter().any(|name| fields.has(name)) {
            let what = "needs `httpStatus` or `grpcStatus`";
            faults.add(Code::Missing, &at, fields.path(), what);
        }
        Some(FaultAbort { at, percentage, error: http.or(grpc).or(http2) })
    })
}
