//! The CRDs, made from `config/umbra.schema.json`: what editors, Helm and the API server are told is one thing. What the API
//! server cannot read of JSON Schema is said in its own words; what it alone understands stands in the schema as
//! `x-kubernetes-…`.

use std::fs;

use serde_json::{Map, Value, json};

use crate::{made, repository};

const GROUP: &str = "umbra.dev";
const VERSION: &str = "v1alpha1";
pub(crate) const FOLDER: &str = "deploy/helm/umbra/crds";

pub(crate) fn schema() -> Value {
    serde_json::from_str(&fs::read_to_string(repository("config/umbra.schema.json")).unwrap()).unwrap()
}

/// Both, by the names of their files.
pub(crate) fn all() -> [(&'static str, Value); 2] {
    let column = |name: &str, kind: &str, path: &str| json!({"name": name, "type": kind, "jsonPath": path});
    let wide = |mut column: Value| {
        column["priority"] = json!(1);
        column
    };
    let condition = |name: &str, field: &str| format!(".status.conditions[?(@.type==\"{name}\")].{field}");
    let accepted = || column("Accepted", "string", &condition("Accepted", "status"));
    let why = || wide(column("Reason", "string", &condition("Accepted", "reason")));
    let age = || column("Age", "date", ".metadata.creationTimestamp");
    let agent = [column("Admin", "string", ".spec.admin.address"), accepted(), why(), age()];
    let policy = [
        column("Kind", "string", ".spec.targetRefs[0].kind"),
        column("Target", "string", ".spec.targetRefs[0].name"),
        wide(column("Rule", "string", ".spec.targetRefs[0].sectionName")),
        column("Mirrors", "integer", ".status.mirrors"),
        accepted(),
        column("Resolved", "string", &condition("ResolvedRefs", "status")),
        why(),
        age(),
    ];
    let mut policies = crd("ShadowPolicy", "shadowpolicies", "shp", &policy);
    // What tools of the Gateway API find policies by (GEP-713).
    policies["metadata"]["labels"] = json!({"gateway.networking.k8s.io/policy": "Inherited"});
    [
        ("agentconfigs.yaml", crd("AgentConfig", "agentconfigs", "agc", &agent)),
        ("shadowpolicies.yaml", policies),
    ]
}

fn crd(kind: &str, plural: &str, short: &str, columns: &[Value]) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{GROUP}")},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind, "listKind": format!("{kind}List"), "plural": plural, "singular": kind.to_lowercase(),
                "shortNames": [short], "categories": ["umbra"],
            },
            "versions": [{
                "name": VERSION, "served": true, "storage": true,
                "subresources": {"status": {}},
                "additionalPrinterColumns": columns,
                "schema": {"openAPIV3Schema": top(kind)},
            }],
        },
    })
}

fn top(kind: &str) -> Value {
    let (schema, text) = (schema(), |what: &str| json!({"type": "string", "description": what}));
    let mut top = structural(&resolved(&schema["$defs"][kind], &schema["$defs"]));
    // These three are the API server's own.
    top["properties"]["apiVersion"] = text("The version of this kind: umbra.dev/v1alpha1.");
    top["properties"]["kind"] = text(&format!("{kind}."));
    top["properties"]["metadata"] = json!({"type": "object"});
    let needed = top["required"].as_array_mut().unwrap();
    needed.retain(|name| name == "spec");
    if needed.is_empty() {
        top.as_object_mut().unwrap().remove("required");
    }
    top
}

/// Without `$ref`: what stands beside it comes first, rules are held both.
pub(crate) fn resolved(node: &Value, definitions: &Value) -> Value {
    match node {
        Value::Object(fields) => {
            let mut all = Map::new();
            if let Some(name) = fields.get("$ref").and_then(Value::as_str) {
                let base = &definitions[name.trim_start_matches("#/$defs/")];
                all = resolved(base, definitions).as_object().unwrap().clone();
            }
            for (name, value) in fields.iter().filter(|(name, _)| *name != "$ref") {
                let mut value = resolved(value, definitions);
                if name == "x-kubernetes-validations"
                    && let Some(Value::Array(rules)) = all.get(name)
                {
                    value.as_array_mut().unwrap().extend(rules.clone());
                }
                all.insert(name.clone(), value);
            }
            all.into()
        }
        Value::Array(items) => items.iter().map(|item| resolved(item, definitions)).collect(),
        other => other.clone(),
    }
}

/// As a structural schema of `apiextensions.k8s.io/v1`.
fn structural(node: &Value) -> Value {
    let fields = node.as_object().unwrap();
    let mut told = Map::new();
    for (name, value) in fields {
        match name.as_str() {
            "title" => {}
            // Unknown fields are pruned, and refused by who asks for it, wherever all are named.
            "additionalProperties" if value == false => {}
            "oneOf" | "not" => assert!(
                fields.contains_key("x-kubernetes-validations"),
                "`{name}` has no rule beside it that says the same with a message: {node}"
            ),
            "const" => {
                told.insert("enum".to_owned(), json!([value]));
            }
            "uniqueItems" => {
                told.insert("x-kubernetes-list-type".to_owned(), "set".into());
            }
            "type" if value.is_array() => {
                assert_eq!(value, &json!(["string", "integer"]));
                told.insert("x-kubernetes-int-or-string".to_owned(), true.into());
                told.insert("anyOf".to_owned(), json!([{"type": "integer"}, {"type": "string"}]));
            }
            "properties" => {
                let named = value.as_object().unwrap().iter();
                let named = named.map(|(name, value)| (name.clone(), structural(value)));
                told.insert(name.clone(), Value::Object(named.collect()));
            }
            "items" | "additionalProperties" => {
                told.insert(name.clone(), structural(value));
            }
            _ => {
                told.insert(name.clone(), value.clone());
            }
        }
    }
    if let Some(first) = told.get("enum").map(|values| values[0].clone()) {
        let kind = if first.is_boolean() { "boolean" } else { "string" };
        told.entry("type").or_insert(kind.into());
    }
    told.into()
}

#[test]
fn the_crds_say_what_the_schema_says() {
    for (file, crd) in all() {
        let text = serde_saphyr::to_string(&crd).unwrap();
        let header = "# Made from config/umbra.schema.json by tests/suites/deploy/crds.rs.\n";
        made::is_current(&format!("{FOLDER}/{file}"), &crd, &format!("{header}{text}"));
    }
}
