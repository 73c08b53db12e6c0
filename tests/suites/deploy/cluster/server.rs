//! `etcd` and `kube-apiserver` on loopback ports, with a folder for what they keep; both end with it.

use std::{
    env,
    fs::{self, File},
    io::Write as _,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

const TOKEN: &str = "deploy-suite";

pub(super) struct Server {
    folder: TempDir,
    port: u16,
    // The API server ends first.
    programs: Vec<Child>,
}

impl Server {
    /// Ready; none where there is no such program.
    pub(super) fn start() -> Option<Self> {
        let assets = PathBuf::from(env::var_os("KUBEBUILDER_ASSETS").filter(|path| !path.is_empty())?);
        let folder = tempfile::tempdir().unwrap();
        let [port, clients, peers] = free();
        let run = |name: &str, arguments: &[String]| {
            let log = File::create(folder.path().join(format!("{name}.log"))).unwrap();
            let mut command = Command::new(assets.join(name));
            command.args(arguments).stdout(log.try_clone().unwrap()).stderr(log).stdin(Stdio::null());
            command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"))
        };
        let at = |port: u16| format!("http://127.0.0.1:{port}");
        let kept = folder.path().display();
        let etcd = run(
            "etcd",
            &[
                format!("--data-dir={kept}/etcd"),
                format!("--listen-client-urls={}", at(clients)),
                format!("--advertise-client-urls={}", at(clients)),
                format!("--listen-peer-urls={}", at(peers)),
                format!("--initial-advertise-peer-urls={}", at(peers)),
                format!("--initial-cluster=default={}", at(peers)),
                "--unsafe-no-fsync".to_owned(),
            ],
        );
        let tokens = format!("{kept}/tokens.csv");
        fs::write(&tokens, format!("{TOKEN},admin,1,system:masters\n")).unwrap();
        let mut arguments = vec![
            format!("--etcd-servers={}", at(clients)),
            format!("--cert-dir={kept}/certificates"),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={port}"),
            format!("--token-auth-file={tokens}"),
        ];
        if asks_for_keys(&assets) {
            arguments.extend(keys(folder.path()));
        }
        let api = run("kube-apiserver", &arguments);
        let server = Self { folder, port, programs: vec![api, etcd] };
        support::eventually("the API server is ready", || {
            server.try_ask("GET", "/readyz", &[], None).map(drop)
        });
        Some(server)
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
        let path = self.folder.path().join("kubeconfig");
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: x\n\
             clusters: [{{name: c, cluster: {{server: 'https://127.0.0.1:{}', insecure-skip-tls-verify: true}}}}]\n\
             users: [{{name: u, user: {{token: {TOKEN}}}}}]\ncontexts: [{{name: x, context: {{cluster: c, user: u}}}}]\n",
            self.port
        );
        fs::write(&path, text).unwrap();
        path
    }

    fn answered(&self, answer: Value) -> Result<Value, String> {
        if answer["kind"] == "Status" { Err(answer["message"].to_string()) } else { Ok(answer) }
    }

    fn ask(&self, method: &str, path: &str, headers: &[&str], body: Option<&Value>) -> Value {
        let said = self.try_ask(method, path, headers, body).unwrap_or_else(|| panic!("no answer to {path}"));
        serde_json::from_str(&said).unwrap_or_else(|_| panic!("{path}: {said}"))
    }

    /// Certificates are of the server's own making.
    fn try_ask(&self, method: &str, path: &str, headers: &[&str], body: Option<&Value>) -> Option<String> {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--insecure", "--request", method, "--max-time", "30"]);
        for header in headers.iter().chain(&["content-type: application/json"]) {
            curl.args(["--header", header]);
        }
        // Only readiness is told without a document.
        curl.args(if path == "/readyz" { &["--fail"][..] } else { &[] });
        curl.args(["--header", &format!("authorization: Bearer {TOKEN}"), "--data-binary", "@-"]);
        curl.arg(format!("https://127.0.0.1:{}{path}", self.port));
        let mut child = curl.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let body = body.map(Value::to_string).unwrap_or_default();
        child.stdin.take().unwrap().write_all(body.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for program in &mut self.programs {
            let _ = program.kill();
            let _ = program.wait();
        }
    }
}

/// Ports that nobody has at the moment.
fn free() -> [u16; 3] {
    let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

/// Kubernetes' own server signs tokens of service accounts; smaller ones know nothing of these.
fn asks_for_keys(assets: &Path) -> bool {
    let help = Command::new(assets.join("kube-apiserver")).arg("--help").output().unwrap();
    String::from_utf8_lossy(&help.stdout).contains("--service-account-signing-key-file")
}

fn keys(folder: &Path) -> Vec<String> {
    let (key, public) = (folder.join("sa.key"), folder.join("sa.pub"));
    for arguments in [
        vec!["genrsa".as_ref(), "-out".as_ref(), key.as_os_str(), "2048".as_ref()],
        vec![
            "rsa".as_ref(),
            "-in".as_ref(),
            key.as_os_str(),
            "-pubout".as_ref(),
            "-out".as_ref(),
            public.as_os_str(),
        ],
    ] {
        let made = Command::new("openssl").args(arguments).output().unwrap();
        assert!(made.status.success(), "{made:?}");
    }
    let issuer = "https://kubernetes.default.svc";
    vec![
        "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
        "--authorization-mode=RBAC".to_owned(),
        format!("--service-account-key-file={}", public.display()),
        format!("--service-account-signing-key-file={}", key.display()),
        format!("--service-account-issuer={issuer}"),
        format!("--api-audiences={issuer}"),
        "--endpoint-reconciler-type=none".to_owned(),
        "--disable-admission-plugins=ServiceAccount".to_owned(),
    ]
}
