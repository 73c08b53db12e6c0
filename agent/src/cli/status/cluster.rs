//! The cluster as a source of the configuration: is it followed, and what of it is not in force.

use std::fmt::Write as _;

use serde_json::Value;

use crate::cli::view::{age, counted, line, text};

/// Faults that are shown here.
const FAULTS: usize = 10;

/// A line for the cluster, and one each for what of it is not as it should be; none where it is no source.
pub(super) fn render(cluster: &Value) -> String {
    let mut said = String::new();
    let Some(kinds) = cluster["kinds"].as_array() else { return said };
    let objects: u64 = kinds.iter().filter_map(|kind| kind["objects"].as_u64()).sum();
    let age_of = |kind: &Value| kind["ageSeconds"].as_f64().unwrap_or(0.0);
    let away = kinds.iter().filter(|kind| kind["state"] == "away");
    let oldest = away.max_by(|one, other| age_of(one).total_cmp(&age_of(other)));
    // Writing to a `String` cannot fail.
    let _ = match oldest {
        Some(kind) => writeln!(
            said,
            "cluster: {} is away: {objects} objects as they were {} ago stay in force",
            text(&cluster["server"]),
            age(&kind["ageSeconds"])
        ),
        None => writeln!(said, "cluster: {objects} objects of {}", text(&cluster["server"])),
    };
    for kind in kinds.iter().filter(|kind| kind["state"] != "following") {
        let state = match kind["state"].as_str() {
            Some("notInstalled") => "not installed".to_owned(),
            state => state.unwrap_or_default().to_owned(),
        };
        let why = kind["why"].as_str().map(|why| format!(": {}", line(&why.into()))).unwrap_or_default();
        let _ = writeln!(said, "  {}: {state}{why}", text(&kind["kind"]));
    }
    said += &writer(&cluster["status"]);
    let faults = cluster["faults"].as_array().into_iter().flatten();
    for fault in faults.take(FAULTS) {
        let (object, message, effect) =
            (line(&fault["object"]), line(&fault["message"]), text(&fault["effect"]));
        let _ = writeln!(said, "  {object}: {message}; {effect}");
    }
    let more = cluster["faultCount"].as_u64().unwrap_or(0).saturating_sub(FAULTS as u64);
    if more > 0 {
        let _ = writeln!(said, "  and {more} more; `umbra config dump` shows all");
    }
    for object in cluster["overruled"].as_array().into_iter().flatten() {
        let _ = writeln!(said, "  {}: stands in a file too, which is in force", line(object));
    }
    said
}

/// Who writes the status of objects; nothing where this agent was not asked to.
fn writer(status: &Value) -> String {
    if status.is_null() {
        return String::new();
    }
    let who = match status["writer"].as_str() {
        Some(_) if status["here"] == true => "written by this agent".to_owned(),
        Some(writer) => format!("written by {writer}"),
        None => "written by no agent that is known".to_owned(),
    };
    let written = counted(&status["written"], "time");
    let last = match &status["lastSeconds"] {
        Value::Null => String::new(),
        last => format!(", {written} from here, last {} ago", age(last)),
    };
    let why = status["why"].as_str().map(|why| format!(": {}", line(&why.into()))).unwrap_or_default();
    format!("  status: {who}{last}{why}\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_as_it_should_be_is_a_line_each() {
        let kind = |kind: &str, state: &str, age: f64, objects: u32, why: Option<&str>| json!({"kind": kind, "state": state, "ageSeconds": age, "objects": objects, "why": why});
        let mut cluster = json!({
            "server": "https://10.0.0.1/",
            "kinds": [kind("Service", "following", 0.0, 7, None), kind("GRPCRoute", "notInstalled", 0.0, 0, None)],
            "faultCount": 1, "faults": [{"object": "VirtualService a/b", "message": "spec.http: no", "effect": "it is left out"}],
            "overruled": ["VirtualService a/c"],
        });
        let expected = "\
cluster: 7 objects of https://10.0.0.1/
  GRPCRoute: not installed
  VirtualService a/b: spec.http: no; it is left out
  VirtualService a/c: stands in a file too, which is in force
";
        assert_eq!(render(&cluster), expected);
        cluster["kinds"][0] = kind("Service", "away", 61.0, 7, Some("refused"));
        let told = render(&cluster);
        assert!(
            told.starts_with(
                "cluster: https://10.0.0.1/ is away: 7 objects as they were 61s ago stay in force\n"
            ),
            "{told}"
        );
        assert!(told.contains("\n  Service: away: refused\n"), "{told}");
        assert_eq!(render(&Value::Null), "");
        let mut status =
            json!({"writer": "node-1-2a", "here": false, "written": 0, "lastSeconds": null, "why": null});
        assert_eq!(writer(&status), "  status: written by node-1-2a\n");
        status = json!({"writer": "a", "here": true, "written": 2, "lastSeconds": 3.0, "why": "no (403)"});
        assert_eq!(
            writer(&status),
            "  status: written by this agent, 2 times from here, last 3s ago: no (403)\n"
        );
    }
}
