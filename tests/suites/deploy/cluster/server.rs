//! The real API server, asked as `kubectl` asks it.

use std::{
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
};

use serde_json::Value;
use support::{ApiServer, Netns};

pub(super) struct Server(ApiServer);

impl Server {
    /// Ready; none where there is no such program.
    pub(super) fn start() -> Option<Self> {
        ApiServer::real(&Netns::host()).map(Self)
    }

    /// What was made of it; an error is the server's message.
    pub(super) fn create(&self, path: &str, object: &Value) -> Result<Value, String> {
        self.answered(self.ask("POST", &format!("{path}?fieldValidation=Strict"), &[], Some(object)))
    }

    pub(super) fn replace(&self, path: &str, object: &Value) -> Result<Value, String> {
        self.answered(self.ask("PUT", path, &[], Some(object)))
    }

    pub(super) fn get(&self, path: &str) -> Value {
        self.ask("GET", path, &[], None)
    }

    /// As `kubectl get` asks for it.
    pub(super) fn table(&self, path: &str) -> Value {
        self.ask("GET", path, &["accept: application/json;as=Table;v=v1;g=meta.k8s.io"], None)
    }

    /// How many of a kind have this in their names.
    pub(super) fn named(&self, path: &str, part: &str) -> usize {
        let items = self.get(path)["items"].as_array().cloned().unwrap_or_default();
        items
            .iter()
            .filter(|item| item["metadata"]["name"].as_str().is_some_and(|name| name.contains(part)))
            .count()
    }

    pub(super) fn kubeconfig(&self) -> PathBuf {
        self.0.kubeconfig()
    }

    fn answered(&self, answer: Value) -> Result<Value, String> {
        if answer["kind"] == "Status" { Err(answer["message"].to_string()) } else { Ok(answer) }
    }

    fn ask(&self, method: &str, path: &str, headers: &[&str], body: Option<&Value>) -> Value {
        // Certificates are of the server's own making.
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--insecure", "--request", method, "--max-time", "30"]);
        for header in headers.iter().chain(&["content-type: application/json"]) {
            curl.args(["--header", header]);
        }
        curl.args(["--header", &format!("authorization: Bearer {}", self.0.token()), "--data-binary", "@-"]);
        curl.arg(format!("{}{path}", self.0.url()));
        let mut child = curl.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let body = body.map(Value::to_string).unwrap_or_default();
        child.stdin.take().unwrap().write_all(body.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        serde_json::from_str(&said).unwrap_or_else(|_| panic!("{path}: {}, {said}", output.status))
    }
}
