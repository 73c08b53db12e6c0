//! The published JSON Schema of umbra's own kinds, for editors and for whoever writes configuration with a program.
//! The reader is stricter: what a schema cannot say (ranges of durations, fields that go together) only it knows, and API
//! servers, which are told by `x-kubernetes-validations`: `deploy/crds` is made from this (tests/suites/deploy).

/// The schema (JSON Schema 2020-12) of a document of kind AgentConfig or ShadowPolicy, as it is shipped.
pub const SCHEMA: &str = include_str!("../../../config/umbra.schema.json");

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use jsonschema::Validator;
    use serde_json::Value;

    use super::*;
    use crate::config::testing::read_text;

    const AGENT: &str = include_str!("../../../config/agent.yaml");
    const POLICIES: &str = include_str!("../../../config/examples/shadow-policy.yaml");

    fn schema() -> Value {
        serde_json::from_str(SCHEMA).unwrap()
    }

    fn validator() -> Validator {
        let schema = schema();
        assert!(jsonschema::meta::is_valid(&schema));
        jsonschema::draft202012::new(&schema).unwrap()
    }

    /// The documents of umbra's own kinds in a text.
    fn documents(text: &str) -> Vec<Value> {
        let parts = text.split("\n---\n").map(|part| serde_saphyr::from_str::<Value>(part).unwrap());
        parts.filter(|document| document["apiVersion"] == "umbra.dev/v1alpha1").collect()
    }

    fn shipped() -> Vec<Value> {
        let examples = ["direct.yaml", "mirror-percentage.yaml"].map(|name| {
            let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/examples");
            std::fs::read_to_string(folder.join(name)).unwrap()
        });
        let texts = examples.iter().map(String::as_str).chain([AGENT, POLICIES]);
        texts.flat_map(documents).collect()
    }

    /// Paths of the maps with fixed keys, in a document.
    fn keys(value: &Value, path: &str, paths: &mut Vec<(String, String)>) {
        match value {
            Value::Object(entries) => {
                for (key, value) in entries {
                    // The keys of these are data, or not ours.
                    if !path.ends_with("/set") && !path.ends_with("/add") && !path.starts_with("/metadata") {
                        paths.push((path.to_owned(), key.clone()));
                    }
                    keys(value, &format!("{path}/{key}"), paths);
                }
            }
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(i, item)| keys(item, &format!("{path}/{i}"), paths));
            }
            _ => {}
        }
    }

    #[test]
    fn everything_that_is_shipped_is_valid() {
        let validator = validator();
        let shipped = shipped();
        assert!(shipped.len() >= 5, "{}", shipped.len());
        for document in shipped {
            let faults: Vec<_> = validator.iter_errors(&document).map(|fault| fault.to_string()).collect();
            assert!(faults.is_empty(), "{document:#}: {faults:#?}");
        }
    }

    #[test]
    fn a_misspelled_key_is_refused_by_the_schema_as_by_the_reader() {
        let validator = validator();
        for document in shipped() {
            let mut paths = Vec::new();
            keys(&document, "", &mut paths);
            for (path, key) in paths {
                let mut wrong = document.clone();
                let map = wrong.pointer_mut(&path).and_then(Value::as_object_mut).unwrap();
                let value = map.remove(&key).unwrap();
                map.insert(format!("{key}x"), value);
                assert!(!validator.is_valid(&wrong), "{path}/{key}x");
                let (_, report) = read_text(&wrong.to_string());
                assert!(report.has_errors(), "{path}/{key}x");
            }
        }
    }

    #[test]
    fn every_property_is_shown_by_what_is_shipped() {
        fn properties(value: &Value, names: &mut BTreeSet<String>) {
            if let Value::Object(entries) = value {
                for (key, value) in entries {
                    if let ("properties", Value::Object(properties)) = (key.as_str(), value) {
                        names.extend(properties.keys().cloned());
                    }
                    properties(value, names);
                }
            }
        }
        let mut names = BTreeSet::new();
        let mut schema = schema();
        for kind in ["AgentConfig", "ShadowPolicy"] {
            // Nobody writes that.
            schema["$defs"][kind]["properties"]["status"] = Value::Null;
            schema["$defs"]["condition"] = Value::Null;
        }
        properties(&schema, &mut names);
        let text =
            format!("{AGENT}{POLICIES}{}", include_str!("../../../config/examples/mirror-percentage.yaml"));
        let shown = |name: &&String| !text.contains(&format!("{name}:"));
        let missing: Vec<_> = names.iter().filter(shown).collect();
        // Each excludes the key that is shown.
        assert_eq!(missing, ["queryParam", "sourceAddress"]);
    }

    #[test]
    fn values_out_of_range_are_refused() {
        let validator = validator();
        let agent = documents(AGENT).remove(0);
        for (path, value) in [
            ("/spec/shadow/nice", serde_json::json!(20)),
            ("/spec/shadow/timeout", serde_json::json!("15")),
            ("/spec/shadow/timeout", serde_json::json!(15)),
            ("/spec/shadow/queue/bytes", serde_json::json!("64mb")),
            ("/spec/admin/address", serde_json::json!("localhost")),
            ("/spec/capture/clientAddress", serde_json::json!("Keep")),
        ] {
            let mut wrong = agent.clone();
            *wrong.pointer_mut(path).unwrap() = value;
            assert!(!validator.is_valid(&wrong), "{path}");
            assert!(read_text(&wrong.to_string()).1.has_errors(), "{path}");
        }
    }
}
