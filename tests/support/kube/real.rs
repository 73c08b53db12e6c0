//! kube-apiserver and etcd, as programs of their own on loopback, in a folder that is gone afterwards.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use super::{TOKEN, free_port};
use crate::{Netns, eventually};

#[derive(Debug)]
pub(super) struct Real {
    netns: Netns,
    assets: PathBuf,
    dir: PathBuf,
    address: SocketAddr,
    store: SocketAddr,
    etcd: Child,
    server: Option<Child>,
}

impl Real {
    pub(super) fn start(netns: &Netns, assets: &Path, dir: &Path) -> Self {
        let [address, store, peers] = [free_port(netns), free_port(netns), free_port(netns)];
        let (client, peer) = (format!("http://{store}"), format!("http://{peers}"));
        let mut etcd = netns.command(assets.join("etcd"));
        etcd.arg("--data-dir").arg(dir.join("etcd"));
        etcd.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        etcd.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        etcd.args(["--initial-cluster", &format!("default={peer}"), "--unsafe-no-fsync"]);
        let etcd = spawn(&mut etcd, dir, "etcd.log");
        fs::write(dir.join("tokens.csv"), format!("{TOKEN},admin,1,system:masters\n")).unwrap();
        let (netns, assets, dir) = (netns.clone(), assets.to_owned(), dir.to_owned());
        let mut real = Self { netns, assets, dir, address, store, etcd, server: None };
        real.come_back();
        real
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn go_away(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = server.kill();
            let _ = server.wait();
        }
    }

    pub(super) fn come_back(&mut self) {
        let program = self.assets.join("kube-apiserver");
        let mut server = self.netns.command(&program);
        server.arg(format!("--etcd-servers=http://{}", self.store));
        server.arg(format!("--cert-dir={}", self.dir.join("certs").display()));
        server.arg(format!("--token-auth-file={}", self.dir.join("tokens.csv").display()));
        server.args(["--bind-address=127.0.0.1", &format!("--secure-port={}", self.address.port())]);
        if authorises(&self.assets) {
            server.args(self.arguments_of_a_whole_one());
        }
        self.server = Some(spawn(&mut server, &self.dir, "api.log"));
        eventually("kube-apiserver to be ready", || {
            let ended = self.server.as_mut().and_then(|server| server.try_wait().unwrap());
            assert!(ended.is_none(), "kube-apiserver ended:\n{}", self.log());
            let url = format!("https://{}/readyz", self.address);
            let asked = self
                .netns
                .command("curl")
                .args(["-sk", "-H", &format!("authorization: Bearer {TOKEN}"), &url])
                .output();
            asked.unwrap().stdout.starts_with(b"ok").then_some(())
        });
    }

    /// The whole kube-apiserver wants to know who signs service accounts, though nobody here has one.
    fn arguments_of_a_whole_one(&self) -> Vec<String> {
        let key = self.dir.join("sa.key");
        if !key.exists() {
            let made =
                Command::new("openssl").args(["genrsa", "-out"]).arg(&key).arg("2048").output().unwrap();
            assert!(made.status.success(), "openssl genrsa: {made:?}");
        }
        let key = key.display();
        [
            "--authorization-mode=RBAC".to_owned(),
            // Namespaces have no way out by which it could find an address of its own, and nobody asks for it.
            "--advertise-address=127.0.0.1".to_owned(),
            "--endpoint-reconciler-type=none".to_owned(),
            // Before 1.21 it has this version alone, and leaves v1 to a CRD only where it has none.
            "--runtime-config=discovery.k8s.io/v1beta1=false".to_owned(),
            "--disable-admission-plugins=ServiceAccount".to_owned(),
            "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            format!("--service-account-key-file={key}"),
            format!("--service-account-signing-key-file={key}"),
        ]
        .into()
    }

    fn log(&self) -> String {
        let log = fs::read_to_string(self.dir.join("api.log")).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

/// Whether the server there is a whole one, with RBAC and service accounts.
pub(super) fn authorises(assets: &Path) -> bool {
    let help = Command::new(assets.join("kube-apiserver")).arg("--help").output();
    help.is_ok_and(|help| {
        String::from_utf8_lossy(&help.stdout).contains("--service-account-signing-key-file")
    })
}

fn spawn(command: &mut Command, dir: &Path, log: &str) -> Child {
    let log = File::create(dir.join(log)).unwrap();
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    command
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}; see KUBEBUILDER_ASSETS"))
}

impl Drop for Real {
    fn drop(&mut self) {
        self.go_away();
        let _ = self.etcd.kill();
        let _ = self.etcd.wait();
    }
}
