//! Reports in SARIF 2.1.0 (OASIS), which code hosts and editors show beside the lines they are about.

use serde_json::{Value, json};

use super::{Code, Diagnostic, Report, Severity};

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

impl Report {
    /// One run with every fault, and a rule for each code there is.
    pub fn to_sarif(&self) -> Value {
        let results: Vec<_> = self.diagnostics.iter().map(result).collect();
        json!({
            "$schema": SCHEMA,
            "version": "2.1.0",
            "runs": [{
                "tool": {"driver": {
                    "name": "umbra",
                    "version": env!("CARGO_PKG_VERSION"),
                    "rules": Code::ALL.iter().map(|code| rule(*code)).collect::<Vec<_>>(),
                }},
                "columnKind": "unicodeCodePoints",
                "results": results,
            }],
        })
    }
}

fn level(code: Code) -> &'static str {
    match code.severity() {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

fn rule(code: Code) -> Value {
    json!({
        "id": code.as_str(),
        "shortDescription": {"text": code.title()},
        "help": {"text": code.explain()},
        "defaultConfiguration": {"level": level(code)},
    })
}

fn result(fault: &Diagnostic) -> Value {
    let hint = fault.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
    let mut location = json!({});
    // `<stdin>` and the like are no files, which nobody could open.
    if !fault.at.file.starts_with('<') {
        location["physicalLocation"] = json!({
            "artifactLocation": {"uri": uri(&fault.at.file)},
            "region": {"startLine": fault.at.line.max(1), "startColumn": fault.at.column.max(1)},
        });
    }
    if let Some(object) = &fault.object {
        location["logicalLocations"] = json!([{"fullyQualifiedName": object, "kind": "resource"}]);
    }
    let nowhere = location.as_object().is_none_or(serde_json::Map::is_empty);
    json!({
        "ruleId": fault.code.as_str(),
        "ruleIndex": Code::ALL.iter().position(|code| *code == fault.code),
        "level": level(fault.code),
        "message": {"text": format!("{}{hint}", fault.message)},
        "locations": if nowhere { json!([]) } else { json!([location]) },
    })
}

/// A path as a URI reference (RFC 3986 §4.1).
fn uri(file: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~' | b'/');
    file.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{
        Location,
        testing::{object, read_text},
    };

    #[test]
    fn a_fault_is_a_result_with_its_place() {
        let text = object("VirtualService", "hosts: [a]\nhttp:\n- mirror: {subset: b}");
        let sarif = read_text(&text).1.to_sarif();
        let run = &sarif["runs"][0];
        let result = &run["results"][0];
        assert_eq!(result["ruleId"], "UMB0104");
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(run["tool"]["driver"]["rules"][index]["id"], "UMB0104");
        assert_eq!(result["level"], "error");
        let place = &result["locations"][0];
        assert_eq!(place["physicalLocation"]["region"], json!({"startLine": 7, "startColumn": 13}));
        assert_eq!(place["physicalLocation"]["artifactLocation"]["uri"], "t.yaml");
        assert_eq!(place["logicalLocations"][0]["fullyQualifiedName"], "VirtualService default/a");
    }

    #[test]
    fn odd_paths_become_uris() {
        assert_eq!(uri("/a b/<x>"), "/a%20b/%3Cx%3E");
    }

    #[test]
    fn what_is_in_no_file_has_no_place() {
        let at = |file: &str| Location { file: file.into(), line: 1, column: 1 };
        let fault = |object| Diagnostic {
            code: Code::NothingMirrored,
            at: at("<configuration>"),
            object,
            message: "nothing is mirrored".into(),
            hint: None,
        };
        assert_eq!(result(&fault(None))["locations"], json!([]));
        let place = &result(&fault(Some("VirtualService default/a".into())))["locations"][0];
        assert!(place["physicalLocation"].is_null() && place["logicalLocations"].is_array(), "{place}");
    }
}
