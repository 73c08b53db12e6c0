//! The store by itself, without a server.

use std::{collections::HashSet, sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use super::{
    kinds::{AGENTS, KINDS, PODS},
    shared::Shared,
    standing::State,
    store::{Change, Overruled, Selector, Store, Target, is_of_cluster},
};
use crate::config::{Code, Diagnostic, Location, Resources};

fn kind(name: &str) -> usize {
    KINDS.iter().position(|kind| kind.name == name).unwrap()
}

fn put(store: &mut Store, name: &str, object: Value) -> bool {
    let (target, of) = (Target::Kind(kind(name)), &object["metadata"]["name"]);
    let of = ("shop".into(), of.as_str().unwrap().into());
    let text = KINDS[target.kind()].trim(KINDS[target.kind()].versions[0], object);
    store.put(&target, of, text) != Change::None
}

fn rule(percent: u32) -> Value {
    json!({
        "metadata": {"name": "cart", "namespace": "shop", "resourceVersion": percent.to_string()},
        "spec": {"hosts": ["cart"], "http": [{"route": [{"destination": {"host": "cart"}}],
            "mirror": {"host": "other"}, "mirrorPercentage": {"value": percent}}]},
        "status": {"seen": percent},
    })
}

fn parts(store: &Store) -> Vec<Arc<Resources>> {
    store.gather(&Overruled::default(), None).parts
}

fn percent(store: &Store) -> Option<f64> {
    let parts = parts(store);
    let rule = parts.iter().flat_map(|part| &part.virtual_services).next()?;
    rule.http[0].mirror_percentage.as_ref()?.value.as_ref().map(|percent| percent.value)
}

#[test]
fn an_object_is_the_same_value_until_what_is_kept_of_it_changes() {
    let mut store = Store::default();
    assert!(put(&mut store, "VirtualService", rule(10)));
    let before = parts(&store);
    let mut noise = rule(10);
    noise["status"] = json!({"seen": "again"});
    noise["metadata"]["annotations"] = json!({"a": "b"});
    assert!(!put(&mut store, "VirtualService", noise));
    assert!(Arc::ptr_eq(&before[0], &parts(&store)[0]));
    assert!(put(&mut store, "VirtualService", rule(20)));
    assert!(!Arc::ptr_eq(&before[0], &parts(&store)[0]));
    let target = Target::Kind(kind("VirtualService"));
    assert_eq!(store.retain(&target, &HashSet::new()), Change::Now);
    assert!(parts(&store).is_empty());
}

#[test]
fn a_faulty_object_keeps_its_last_version_or_is_left_out() {
    let mut store = Store::default();
    assert!(!put(&mut store, "VirtualService", rule(130)), "there is nothing to compile");
    assert_eq!((percent(&store), store.faults().count()), (None, 1));
    assert!(put(&mut store, "VirtualService", rule(10)));
    store.accept();
    assert!(!put(&mut store, "VirtualService", rule(140)));
    assert_eq!(percent(&store), Some(10.0));
    let fault = store.faults().next().unwrap();
    assert_eq!(fault.object, "VirtualService shop/cart");
    assert!(fault.message.contains("140") && fault.effect.contains("stays in force"), "{fault:?}");
    assert!(put(&mut store, "VirtualService", rule(20)));
    assert_eq!(store.faults().count(), 0);
}

#[test]
fn what_compiling_blames_is_taken_back_to_what_was_in_force() {
    let error = || {
        let at = Location { file: "kubernetes/VirtualService/shop/cart".into(), line: 1, column: 1 };
        let message = "spec.http[0].match: no".to_owned();
        Diagnostic { code: Code::BadRegex, at, object: None, message, hint: None }
    };
    assert!(is_of_cluster(&error().at.file) && !is_of_cluster("kubernetes/rules.yaml"));
    let mut store = Store::default();
    put(&mut store, "VirtualService", rule(10));
    store.accept();
    put(&mut store, "VirtualService", rule(20));
    put(&mut store, "VirtualService", rule(30));
    assert!(store.take_back(&[&error()]));
    assert_eq!(percent(&store), Some(10.0), "not one that was never in force");
    assert!(store.take_back(&[&error()]));
    assert_eq!(percent(&store), None);
    assert!(!store.take_back(&[&error()]), "there is nothing left to take back");
}

#[test]
fn files_win_and_one_agent_config_counts() {
    let mut store = Store::default();
    put(&mut store, "VirtualService", rule(10));
    for name in ["blue", "default"] {
        put(
            &mut store,
            "AgentConfig",
            json!({"metadata": {"name": name, "namespace": "shop"}, "spec": {"workers": 3}}),
        );
    }
    let agent = |overruled: &Overruled, wanted| {
        let parts = store.gather(overruled, wanted).parts;
        parts.iter().find_map(|part| Some(part.agent.as_ref()?.meta.as_ref()?.name.value.clone()))
    };
    let nothing = Overruled::default();
    assert_eq!(agent(&nothing, None).as_deref(), Some("default"));
    assert_eq!(agent(&nothing, Some("blue")).as_deref(), Some("blue"));
    assert_eq!(agent(&nothing, Some("green")), None);
    let written = [("VirtualService", "shop".to_owned(), "cart".to_owned())].into();
    let files = Overruled { written, agent: true };
    assert_eq!((agent(&files, None), store.gather(&files, None).parts.len()), (None, 0));
    let told = ["AgentConfig shop/blue", "AgentConfig shop/default", "VirtualService shop/cart"];
    assert_eq!(store.overruled(&files), told);
    assert_eq!(KINDS[AGENTS].name, "AgentConfig");
}

#[test]
fn a_pod_that_is_known_in_full_comes_once() {
    let mut store = Store::default();
    let pod = |name: &str| json!({"metadata": {"name": name, "namespace": "shop", "labels": {"a": "b"}}});
    let selector = Selector { namespace: "shop".to_owned(), labels: "a=b".to_owned() };
    let target = Target::Labels(selector.clone());
    let labels = |store: &mut Store, name: &str| {
        store.put(&target, ("shop".into(), name.into()), KINDS[PODS].trim("v1", pod(name))) != Change::None
    };
    assert!(!labels(&mut store, "here"), "nobody wants it");
    store.begin(&selector);
    assert!(labels(&mut store, "here") && labels(&mut store, "elsewhere"));
    assert_eq!(parts(&store).len(), 2);
    put(&mut store, "Pod", pod("here"));
    assert_eq!(parts(&store).len(), 2);
    store.end(&selector);
    assert_eq!(parts(&store).len(), 1);
}

#[test]
fn what_is_listed_is_in_force_when_it_was_compiled() {
    let shared = Shared::default();
    for index in 0..KINDS.len() {
        assert!(!shared.missing().is_empty());
        shared.turn(&Target::Kind(index), State::Following, None);
    }
    assert!(shared.missing().is_empty() && !shared.was_in_force());
    shared.gather(&Overruled::default(), None);
    assert!(!shared.was_in_force());
    shared.accept(&[]);
    assert!(shared.was_in_force());
}

#[tokio::test(start_paused = true)]
async fn endpoints_that_no_rule_here_asks_for_are_taken_in_late_and_together() {
    let shared = Shared::new("here".to_owned(), false);
    let slices = Target::Kind(kind("EndpointSlice"));
    let put = |name: &str, node: &str| {
        let object = json!({
            "metadata": {"name": name, "namespace": "shop", "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"], "nodeName": node}], "ports": [],
        });
        shared.put(&slices, ("shop".into(), name.into()), KINDS[slices.kind()].trim("v1", object), None);
    };
    (0..KINDS.len()).for_each(|index| shared.turn(&Target::Kind(index), State::Following, None));
    shared.changed.notified().await;
    shared.inner().store.nearby.sends_to(HashSet::new());

    let begun = Instant::now();
    let changes = async {
        for index in 0..90 {
            put(&format!("cart-{index}"), "there");
            sleep(Duration::from_millis(100)).await;
        }
    };
    let late = async {
        shared.overdue().await;
        assert_eq!(begun.elapsed().as_secs(), 10);
    };
    tokio::join!(changes, late);
    assert!(timeout(Duration::ZERO, shared.changed.notified()).await.is_err(), "none of them is urgent");
    assert_eq!(shared.gather(&Overruled::default(), None).parts.len(), 90);
    assert!(timeout(Duration::from_secs(60), shared.overdue()).await.is_err(), "nothing waits any more");
    put("cart", "here");
    shared.changed.notified().await;
}
