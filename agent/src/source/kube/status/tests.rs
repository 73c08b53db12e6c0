//! What is said of objects, without a server.

use serde_json::{Value, json};

use super::{
    super::{
        kinds::{KINDS, POLICIES, ROUTES},
        shared::Shared,
        store::{Name, Target},
    },
    conditions::{Known, Tallies, status},
    due,
    seen::{CONTROLLER, Finding, Seen, digest, said},
};
use crate::config::{Code, Diagnostic, Location};

fn route(generation: i64) -> Value {
    json!({
        "metadata": {"name": "cart", "namespace": "shop", "uid": "u", "generation": generation},
        "spec": {
            "parentRefs": [
                {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "edge"},
                {"group": "", "kind": "Service", "name": "cart", "port": 80},
            ],
            "rules": [{"filters": [{"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "v2", "port": 80}}}]}],
        },
    })
}

fn finding(code: Code, message: &str) -> Finding {
    Finding { code, message: message.to_owned() }
}

fn fault(kind: usize) -> Diagnostic {
    let file = format!("kubernetes/{}/shop/cart", KINDS[kind].name);
    let at = Location { file: file.as_str().into(), line: 1, column: 1 };
    Diagnostic { code: Code::OutOfRange, at, object: None, message: "spec.x: 130".to_owned(), hint: None }
}

/// `Accepted=True (Accepted)` and so on.
fn conditions(status: &Value) -> Vec<String> {
    let all = status["conditions"].as_array().unwrap().iter();
    let word = |condition: &Value, key: &str| condition[key].as_str().unwrap().to_owned();
    all.map(|it| format!("{}={} ({})", word(it, "type"), word(it, "status"), word(it, "reason"))).collect()
}

fn known<'a>(kind: usize, seen: &'a Seen, findings: &'a [Finding]) -> Known<'a> {
    Known { kind, seen, fault: None, findings, overruled: false, tally: None }
}

#[test]
fn a_route_is_answered_at_those_parents_that_are_services() {
    let seen = Seen::of(ROUTES[0], &route(3)).unwrap();
    let of = |findings: &[Finding]| status(known(ROUTES[0], &seen, findings));
    let answered = of(&[]);
    assert_eq!(answered.as_array().unwrap().len(), 1, "{answered:#}");
    let entry = &answered[0];
    assert_eq!(entry["parentRef"], route(3)["spec"]["parentRefs"][1]);
    assert_eq!(
        (&entry["controllerName"], &entry["conditions"][0]["observedGeneration"]),
        (&json!(CONTROLLER), &json!(3))
    );
    assert_eq!(conditions(entry), ["Accepted=True (Accepted)", "ResolvedRefs=True (ResolvedRefs)"]);

    let lost =
        "spec.rules[0].filters[0].requestMirror.backendRef: ResolvedRefs=False (BackendNotFound): no Service";
    let lost = of(&[finding(Code::UnresolvedRef, lost)]);
    assert_eq!(conditions(&lost[0]), ["Accepted=True (Accepted)", "ResolvedRefs=False (BackendNotFound)"]);
    let nowhere = of(&[finding(Code::UnmatchedHost, "spec.parentRefs[1].name: no Service")]);
    assert_eq!(conditions(&nowhere[0])[0], "Accepted=False (NoMatchingParent)");
    let anothers = of(&[finding(Code::UnmatchedHost, "spec.parentRefs[0].name: no Service")]);
    assert_eq!(conditions(&anothers[0])[0], "Accepted=True (Accepted)");
    let loses = of(&[finding(Code::Shadowed, "spec.parentRefs: VirtualService a/b already speaks")]);
    assert_eq!(conditions(&loses[0])[0], "Accepted=False (Conflicted)");
    let diagnostic = fault(ROUTES[0]);
    let faulty = Known { fault: Some((&diagnostic, "it is left out")), ..known(ROUTES[0], &seen, &[]) };
    assert_eq!(
        conditions(&status(faulty)[0]),
        ["Accepted=False (UnsupportedValue)", "ResolvedRefs=Unknown (Pending)"]
    );
}

#[test]
fn of_a_route_without_mirrors_nothing_is_said() {
    let mut plain = route(1);
    plain["spec"]["rules"][0]["filters"] = json!([]);
    let seen = Seen::of(ROUTES[0], &plain).unwrap();
    let said_of_it = status(known(ROUTES[0], &seen, &[]));
    assert_eq!((said_of_it, seen.said), (Value::Null, digest(&Value::Null)));
}

#[test]
fn of_a_policy_it_is_said_what_became_of_it() {
    let object = json!({"metadata": {"name": "cart", "generation": 2, "uid": "u"}, "spec": {}});
    let seen = Seen::of(POLICIES, &object).unwrap();
    let of = |findings: &[Finding]| status(known(POLICIES, &seen, findings));
    let good = of(&[]);
    assert_eq!(conditions(&good), ["Accepted=True (Accepted)", "ResolvedRefs=True (ResolvedRefs)"]);
    assert_eq!((&good["mirrors"], &good["observedGeneration"]), (&json!(0), &json!(2)));
    let lost = of(&[finding(Code::UnknownTarget, "spec.targetRefs[0].name: no HTTPRoute")]);
    assert_eq!(conditions(&lost), ["Accepted=True (Accepted)", "ResolvedRefs=False (TargetNotFound)"]);
    let diagnostic = fault(POLICIES);
    let faulty =
        status(Known { fault: Some((&diagnostic, "it is left out")), ..known(POLICIES, &seen, &[]) });
    assert_eq!(conditions(&faulty), ["Accepted=False (Invalid)", "ResolvedRefs=Unknown (Pending)"]);
    assert_eq!(faulty["conditions"][0]["message"], "spec.x: 130 (UMB0106); it is left out");
    let overruled = status(Known { overruled: true, ..known(POLICIES, &seen, &[]) });
    assert_eq!(conditions(&overruled)[0], "Accepted=False (Overruled)");
}

#[test]
fn it_is_said_once_and_of_what_is_in_force() {
    let shared = Shared::new(String::new(), true);
    let (target, name): (_, Name) = (Target::Kind(ROUTES[0]), ("shop".into(), "cart".into()));
    shared.begins(ROUTES[0], "v1");
    let put = |object: &Value| {
        let text = KINDS[ROUTES[0]].trim("v1", object.clone());
        shared.put(&target, name.clone(), text, Seen::of(ROUTES[0], object));
    };
    let due = || due::statements(&shared.inner(), &Tallies::new(), |_, _| true, 10);
    let compile = || {
        shared.inner().ledger.gathered();
        shared.accept(&[]);
    };

    put(&route(1));
    assert!(due().is_empty(), "it is not compiled yet");
    compile();
    let statement = due().pop().unwrap();
    assert_eq!((statement.generation, &statement.name), (1, &name));

    // It is written, and comes back with a time.
    let mut written = route(1);
    written["status"]["parents"] = statement.status.clone();
    written["status"]["parents"][0]["conditions"][0]["lastTransitionTime"] = "2026-01-01T00:00:00Z".into();
    assert_eq!(said(ROUTES[0], &written), statement.status);
    put(&written);
    assert!(due().is_empty(), "nothing is new");
    written["metadata"]["generation"] = 2.into();
    put(&written);
    assert_eq!(due().pop().unwrap().generation, 2, "what is read of it is the same");
    written["spec"]["parentRefs"][1]["port"] = 81.into();
    put(&written);
    assert!(due().is_empty(), "it is not compiled yet");
    compile();
    assert_eq!(due().len(), 1);

    // A fault that reading finds is known at once.
    written["spec"]["parentRefs"][1]["port"] = 100_000.into();
    put(&written);
    let faulty = due().pop().unwrap();
    assert_eq!(conditions(&faulty.status[0])[0], "Accepted=False (UnsupportedValue)");
    let (alarms, _) = due::alarms(&shared.inner(), |_| true);
    assert_eq!((alarms.len(), alarms[0].reason), (1, "Invalid"));
    let event = alarms[0].event("node-1-2a", time::OffsetDateTime::UNIX_EPOCH);
    assert_eq!((&event["regarding"]["uid"], &event["metadata"]["namespace"]), (&json!("u"), &json!("shop")));
}
