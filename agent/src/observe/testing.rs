//! Requests for the tests of views.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::record::{
    Account, Ending, Exchange, MirrorKey, Outcome, RuleAccount, RuleKey, Serving, ShadowOutcome, Text,
    Workload,
};

fn rule() -> Arc<RuleKey> {
    RuleKey { virtual_service: "shop/cart".into(), rule: "all".into() }.into()
}

fn client() -> Option<Arc<Workload>> {
    let workload = Workload { name: Some("web".into()), namespace: "front".into(), ..Workload::default() };
    Some(workload.into())
}

/// A request of the rule `shop/cart all` to the service cart.shop from the workload `front/web`, which has one mirror.
pub(super) fn primary(method: &str, path: &str, status: u16) -> Arc<Exchange> {
    let served = Serving { service: "cart.shop".into(), namespace: "shop".into(), workload: Arc::default() };
    Arc::new(Exchange {
        client: ([10, 0, 0, 9], 4711).into(),
        destination: ([10, 0, 0, 1], 80).into(),
        source: client(),
        served: Some(served.into()),
        rule: Some(RuleAccount::new(rule()).into()),
        version: http::Version::HTTP_11,
        encrypted: false,
        is_grpc: false,
        status,
        grpc_status: None,
        ending: Ending::Complete,
        request_bytes: 100,
        response_bytes: 200,
        started: Instant::now(),
        answered: Some(Duration::from_micros(1500)),
        duration: Duration::from_micros(2500),
        trace: None,
        text: Some(Text::new(method, path, "cart.shop").into()),
        mirrors: 1,
        copies: 1,
    })
}

/// A copy to cart.shop:80/v2.
pub(super) fn copy(outcome: Outcome) -> ShadowOutcome {
    let mirror = Account::new(MirrorKey { rule: rule(), mirror: "cart.shop:80/v2".into() });
    ShadowOutcome {
        mirror: mirror.into(),
        client: ([10, 0, 0, 9], 4711).into(),
        source: client(),
        served: None,
        endpoint: None,
        outcome,
        why: None,
        version: None,
        is_grpc: false,
        status: if let Outcome::Completed { status } = outcome { status } else { 0 },
        grpc_status: None,
        request_bytes: 0,
        response_bytes: 0,
        offered: Instant::now(),
        sent: None,
        answered: None,
        duration: Duration::from_millis(3),
        trace: None,
        text: None,
    }
}
