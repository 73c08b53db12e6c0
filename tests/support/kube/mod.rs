//! An API server for an agent, with what a test does to it: a real one with its etcd where KUBEBUILDER_ASSETS names a folder
//! of both (as envtest has it), else a stub that speaks as much of the protocol as an agent asks for. Objects are written the
//! same way in either: by server-side apply, with curl.

mod objects;
mod real;
mod stub;

use std::{
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::{Value, json};
use tempfile::TempDir;

pub use objects::{KubeService, endpoint, pod_object};
use real::Real;
use stub::Stub;

use crate::{Netns, eventually};

/// What every client shows.
const TOKEN: &str = "of-the-test";

/// An API server on loopback in a namespace; gone when dropped.
#[derive(Debug)]
pub struct ApiServer {
    netns: Netns,
    kind: Kind,
    dir: TempDir,
}

#[derive(Debug)]
enum Kind {
    Stub(Stub),
    Real(Real),
}

impl ApiServer {
    /// The real one where there is one.
    pub fn start(netns: &Netns) -> Self {
        Self::real(netns).unwrap_or_else(|| {
            println!("KUBEBUILDER_ASSETS names no API server: a stub takes its place");
            Self::stub(netns)
        })
    }

    /// None where there is none.
    pub fn real(netns: &Netns) -> Option<Self> {
        let assets = PathBuf::from(env::var_os("KUBEBUILDER_ASSETS").filter(|path| !path.is_empty())?);
        let dir = tempfile::tempdir().unwrap();
        let kind = Kind::Real(Real::start(netns, &assets, dir.path()));
        Some(Self::new(netns, kind, dir))
    }

    /// One that misbehaves when told to.
    pub fn stub(netns: &Netns) -> Self {
        Self::new(netns, Kind::Stub(Stub::start(netns)), tempfile::tempdir().unwrap())
    }

    /// A real one that authorises by RBAC, which takes a whole kube-apiserver: where UMBRA_RBAC_ASSETS names a folder with one,
    /// or that of KUBEBUILDER_ASSETS is one.
    pub fn authorising(netns: &Netns) -> Option<Self> {
        let folders = ["UMBRA_RBAC_ASSETS", "KUBEBUILDER_ASSETS"].map(env::var_os);
        let mut folders = folders.into_iter().flatten().map(PathBuf::from);
        let assets = folders.find(|assets| real::authorises(assets))?;
        let dir = tempfile::tempdir().unwrap();
        let kind = Kind::Real(Real::start(netns, &assets, dir.path()));
        Some(Self::new(netns, kind, dir))
    }

    fn new(netns: &Netns, kind: Kind, dir: TempDir) -> Self {
        let server = Self { netns: netns.clone(), kind, dir };
        server.write_kubeconfig(&server.kubeconfig(), &json!({"token": TOKEN}), "umbra");
        server
    }

    /// What tells an agent where it is.
    pub fn kubeconfig(&self) -> PathBuf {
        self.dir.path().join("kubeconfig")
    }

    /// The same for somebody else, `{"token": …}`, whose own namespace is this.
    pub fn kubeconfig_of(&self, user: &Value, namespace: &str) -> PathBuf {
        let file = self.dir.path().join("kubeconfig-of-somebody");
        self.write_kubeconfig(&file, user, namespace);
        file
    }

    fn write_kubeconfig(&self, file: &Path, user: &Value, namespace: &str) {
        let cluster = json!({"server": self.url(), "insecure-skip-tls-verify": true});
        let text = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "it",
            "clusters": [{"name": "it", "cluster": cluster}],
            "users": [{"name": "it", "user": user}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it", "namespace": namespace}}],
        });
        fs::write(file, text.to_string()).unwrap();
    }

    /// Whoever shows it may do everything.
    pub fn token(&self) -> &'static str {
        TOKEN
    }

    /// Where it is: `https://127.0.0.1:6443`
    pub fn url(&self) -> String {
        match &self.kind {
            Kind::Stub(stub) => format!("http://{}", stub.address()),
            Kind::Real(real) => format!("https://{}", real.address()),
        }
    }

    /// Adds kinds that are not built in: `(group, version, kind)`.
    pub fn install(&self, kinds: &[(&str, &str, &str)]) {
        for (group, version, kind) in kinds {
            let plural = objects::plural(kind);
            self.apply(&json!({
                "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
                // Of groups of Kubernetes itself the server wants to know who approved them.
                "metadata": {"name": format!("{plural}.{group}"),
                    "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"}},
                "spec": {
                    "group": group, "scope": "Namespaced",
                    "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase(), "listKind": format!("{kind}List")},
                    "versions": [{"name": version, "served": true, "storage": true, "subresources": {"status": {}},
                        "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}],
                },
            }));
            let path = format!("/apis/{group}/{version}/{plural}");
            eventually(&format!("{kind} to be served"), || self.ask("GET", &path, None).map(drop).ok());
        }
    }

    /// Makes an object what this says.
    pub fn apply(&self, object: &Value) {
        let path = format!("{}?fieldManager=test&force=true", objects::path(object));
        self.insist("PATCH", &path, Some(object));
        if !object["status"].is_null() {
            let path = format!("{}/status?fieldManager=test&force=true", objects::path(object));
            self.insist("PATCH", &path, Some(object));
        }
    }

    /// Asks for something that is answered and kept nowhere, such as a review of rights.
    pub fn review(&self, path: &str, question: &Value) -> Value {
        self.ask("POST", path, Some(question)).unwrap_or_else(|why| panic!("POST {path}: {why}"))
    }

    pub fn delete(&self, object: &Value) {
        self.insist("DELETE", &format!("{}?gracePeriodSeconds=0", objects::path(object)), None);
    }

    /// The server is gone, in the midst of everything; its objects are not.
    pub fn go_away(&mut self) {
        match &mut self.kind {
            Kind::Stub(stub) => stub.go_away(),
            Kind::Real(real) => real.go_away(),
        }
    }

    /// At the same address as before.
    pub fn come_back(&mut self) {
        match &mut self.kind {
            Kind::Stub(stub) => stub.come_back(),
            Kind::Real(real) => real.come_back(),
        }
        eventually("the API server to answer", || self.ask("GET", "/api/v1/namespaces", None).map(drop).ok());
    }

    /// Every connection ends in the midst of a line, and what was is forgotten: who watches from there is told so (410).
    pub fn forget(&self) {
        self.stub_only().forget();
    }

    /// From now on each answer begins this much later, and every list is cut in pages of this many.
    pub fn hobble(&self, by: std::time::Duration, page: usize) {
        self.stub_only().hobble(by, page);
    }

    /// From now on it knows of no streamed lists.
    pub fn stream_no_lists(&self) {
        self.stub_only().stream_no_lists();
    }

    /// From now on paths with this in them are forbidden.
    pub fn forbid(&self, what: &str) {
        self.stub_only().forbid(what);
    }

    /// The object of this kind, namespace and name, as it is now.
    pub fn get(&self, object: &Value) -> Option<Value> {
        self.ask("GET", &objects::path(object), None).ok()
    }

    /// Events of a namespace.
    pub fn events(&self, namespace: &str) -> Vec<Value> {
        let path = format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events");
        let list = self.ask("GET", &path, None).unwrap_or_default();
        list["items"].as_array().cloned().unwrap_or_default()
    }

    /// What it was asked for so far: `GET /api/v1/pods?…`.
    pub fn asked(&self) -> Vec<String> {
        self.stub_only().asked()
    }

    fn stub_only(&self) -> &Stub {
        match &self.kind {
            Kind::Stub(stub) => stub,
            Kind::Real(_) => panic!("only the stub does that"),
        }
    }

    fn insist(&self, method: &str, path: &str, body: Option<&Value>) {
        // A namespace that is new, or a kind, may take a moment.
        let mut last = String::new();
        let done = crate::in_time(|| match self.ask(method, path, body) {
            Ok(_) => Some(()),
            Err(why) => {
                last = why;
                None
            }
        });
        assert!(done.is_some(), "{method} {path}: {last}");
    }

    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, String> {
        let mut curl = self.netns.command("curl");
        curl.args([
            "--silent",
            "--insecure",
            "--max-time",
            "10",
            "--write-out",
            "\n%{http_code}",
            "--request",
            method,
        ]);
        curl.args(["--header", &format!("authorization: Bearer {TOKEN}")]);
        if let Some(body) = body {
            let kind = if method == "PATCH" { "apply-patch+yaml" } else { "json" };
            curl.args([
                "--header",
                &format!("content-type: application/{kind}"),
                "--data-binary",
                &body.to_string(),
            ]);
        }
        let output = curl.arg(format!("{}{path}", self.url())).stdin(Stdio::null()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let (said, status) = text.rsplit_once('\n').unwrap_or(("", ""));
        match status {
            "200" | "201" => Ok(serde_json::from_str(said).unwrap_or_default()),
            status => Err(format!("{status} {said}")),
        }
    }
}

/// A port of the namespace's loopback that is free at this moment.
fn free_port(netns: &Netns) -> SocketAddr {
    netns.listen(([127, 0, 0, 1], 0).into()).local_addr().unwrap()
}
