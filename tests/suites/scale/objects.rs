//! Objects as large as a real API server sends them: with managed fields, annotations, and all that nobody here reads.

use std::fmt::Display;

use serde_json::{Value, json};

/// The text of one kind, with holes for what differs from object to object.
pub(crate) struct Template {
    first: String,
    /// The name of a hole, and what comes after it.
    rest: Vec<(String, String)>,
}

/// One of each kind.
pub(crate) struct Templates {
    pub(crate) namespace: Template,
    pub(crate) pod: Template,
    pub(crate) service: Template,
    pub(crate) slice: Template,
    pub(crate) endpoint: Template,
    pub(crate) destination_rule: Template,
    pub(crate) rule: Template,
    /// The last of its rules mirrors.
    pub(crate) mirroring: Template,
}

impl Template {
    /// Holes are written `@name@`; `"@!name!@"` is one for JSON that is no text.
    pub(crate) fn of(object: &Value) -> Self {
        let text = object.to_string().replace("\"@!", "@").replace("!@\"", "@");
        let mut parts = text.split('@').map(str::to_owned);
        let first = parts.next().unwrap();
        let rest = std::iter::from_fn(|| parts.next().zip(parts.next())).collect();
        Self { first, rest }
    }

    /// Holes that are not named here stay as they are.
    pub(crate) fn fill(&self, values: &[(&str, &dyn Display)]) -> String {
        let mut text = self.first.clone();
        for (hole, after) in &self.rest {
            match values.iter().find(|(name, _)| name == hole) {
                Some((_, value)) => text.push_str(&value.to_string()),
                None => text.push_str(&format!("@{hole}@")),
            }
            text.push_str(after);
        }
        text
    }
}

impl Templates {
    pub(crate) fn new() -> Self {
        let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        let template = |text: &str| Template::of(&read(text));
        let rule = read(include_str!("objects/virtual-service.json"));
        let mut mirroring = rule.clone();
        let shadow = json!({"host": "@app@.@namespace@.svc.cluster.local", "subset": "v2"});
        mirroring["spec"]["http"][3]["mirrors"] =
            json!([{"destination": shadow, "percentage": {"value": 10}}]);
        Self {
            namespace: template(include_str!("objects/namespace.json")),
            pod: template(include_str!("objects/pod.json")),
            service: template(include_str!("objects/service.json")),
            slice: template(include_str!("objects/slice.json")),
            endpoint: template(include_str!("objects/endpoint.json")),
            destination_rule: by_hand(read(include_str!("objects/destination-rule.json"))),
            rule: by_hand(rule),
            mirroring: by_hand(mirroring),
        }
    }
}

/// What kubectl applied carries itself once more, as text.
fn by_hand(mut object: Value) -> Template {
    let (name, namespace) = ("@app@", "@namespace@");
    let applied = json!({
        "apiVersion": object["apiVersion"], "kind": object["kind"],
        "metadata": {"annotations": {}, "labels": object["metadata"]["labels"], "name": name, "namespace": namespace},
        "spec": object["spec"],
    });
    object["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] =
        format!("{applied}\n").into();
    Template::of(&object)
}
