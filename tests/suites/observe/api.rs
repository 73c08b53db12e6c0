//! The API is what `openapi.yaml` says: every path is asked for, and every answer held against its schema.

use http::Method;
use serde_json::{Value, json};
use support::{Agent, Client, Config, Node, Reply, agent, eventually, upstream};

use super::lines::Tap;

struct Description(Value);

impl Description {
    fn of(agent: &Agent) -> Self {
        let reply = agent.ask("/api/v1/openapi.yaml").unwrap();
        Self(serde_saphyr::from_str(&reply.text()).unwrap())
    }

    /// What is said of an answer: by its type of content, its schema.
    fn answer(&self, path: &str, method: &str, status: u16) -> impl Iterator<Item = (&str, &Value)> {
        let answers = &self.0["paths"][path][method]["responses"][status.to_string()];
        let content = answers["content"].as_object().unwrap_or_else(|| panic!("{method} {path} {status}"));
        content.iter().map(|(kind, content)| (kind.as_str(), &content["schema"]))
    }

    fn holds(&self, schema: &Value, value: &Value) {
        let mut whole = json!({"$schema": "https://json-schema.org/draft/2020-12/schema", "components": self.0["components"]});
        whole.as_object_mut().unwrap().extend(schema.as_object().unwrap().clone());
        let validator = jsonschema::draft202012::new(&whole).unwrap();
        let faults: Vec<_> =
            validator.iter_errors(value).map(|fault| format!("{}: {fault}", fault.instance_path())).collect();
        assert!(faults.is_empty(), "{faults:#?}\n{value:#}");
    }

    fn fits(&self, path: &str, method: &str, reply: &Reply) {
        let found = self
            .answer(path, method, reply.status)
            .find(|(kind, _)| reply.header("content-type").starts_with(kind));
        let (_, schema) = found.unwrap_or_else(|| panic!("{path}: {:?}", reply.headers));
        match serde_json::from_slice::<Value>(&reply.body) {
            Ok(value) => self.holds(schema, &value),
            Err(_) => assert_eq!(*schema, json!({"type": "string"}), "{path}: {}", reply.text()),
        }
    }
}

#[test]
fn every_answer_is_as_it_is_described() {
    let node = Node::new();
    let (app, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
    let (primary, copies, absent) =
        (upstream(&app).replies("ok").start(), upstream(&shadow).replies("ok").start(), shadow.refusing());
    let config = Config::capture(&app.netns().path(), primary.address())
        .mirror(copies.address(), 100.0)
        .mirror(absent.address(), 100.0);
    let builder = agent(&node);
    let yaml = config.to_yaml(builder.admin()).replacen("admin: {", "admin: {keepExchanges: 9, ", 1);
    let agent = builder.yaml(&yaml).start();
    let described = Description::of(&agent);
    let mut tap = Tap::open(node.netns(), agent.admin(), "");
    client.get(primary.address(), "/a");
    agent.eventually("umbra_shadow_outcomes_total{reason=\"connect\"}", 1);
    agent.eventually("umbra_shadow_outcomes_total{outcome=\"completed\"}", 1);
    std::fs::write(agent.config_path(), "kind: Nonsense\n").unwrap();
    eventually("the refusal", || agent.log().contains("the last good one stays in force").then_some(()));

    for _ in 0..2 {
        described.holds(&json!({"$ref": "#/components/schemas/Exchange"}), &tap.line());
    }
    let mut poster = Client::new(node.netns(), agent.admin()).header("content-type", "application/json");
    let mut asked = 0;
    for (path, methods) in described.0["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            asked += 1;
            match (method.as_str(), path.as_str()) {
                ("get", "/api/v1/tap") => {
                    assert!(described.answer(path, method, 200).all(|(kind, _)| kind == "text/event-stream"));
                }
                ("get", _) => {
                    let reply = agent.ask(path).unwrap();
                    assert_eq!(reply.status, 200, "{path}");
                    described.fits(path, method, &reply);
                }
                _ => {
                    let orders = match path.as_str() {
                        "/api/v1/log" => {
                            [(r#"{"level": "info"}"#, 200), ("{}", 400), (r#"{"level": "a=b=c"}"#, 400)]
                        }
                        _ => [(r#"{"all": true}"#, 200), ("{}", 400), (r#"{"mirrors": ["nobody"]}"#, 404)],
                    };
                    for (order, status) in orders {
                        let reply = poster.send(Method::POST, path, order.as_bytes()).unwrap();
                        assert_eq!(reply.status, status, "{path}");
                        described.fits(path, method, &reply);
                    }
                }
            }
            let wrong = described.0["paths"][path][method]["responses"]["400"].is_object() && method == "get";
            if wrong {
                let query = if path.ends_with("/tap") {
                    "status=x"
                } else if path.ends_with("/exchanges") {
                    "last=0"
                } else {
                    "limit=0"
                };
                let reply = agent.ask(&format!("{path}?{query}")).unwrap();
                assert_eq!(reply.status, 400, "{path}");
                described.fits(path, method, &reply);
            }
        }
    }
    assert!(asked >= 14, "{asked}");
    let exchanges: Value = serde_json::from_str(&agent.ask("/api/v1/exchanges").unwrap().text()).unwrap();
    assert_eq!(exchanges["items"].as_array().unwrap().len(), 2, "{exchanges:#}");
}
