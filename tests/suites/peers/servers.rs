//! The real servers, as apps and as shadows. Each keeps a record of every request that it got whole, so that the records
//! of two can be compared.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Mutex,
};

use serde_json::Value;
use support::{Body, Nginx, Pod, eventually};
use tempfile::TempDir;

use crate::scene::{Files, programs};

/// Where each server listens, in a pod of its own.
pub(crate) const PORT: u16 = 9000;

pub(crate) trait Server {
    /// An object for each request, in any order. `marked` is the value of the header that only copies have.
    fn records(&self) -> Vec<Value>;
}

/// An nginx that keeps every body in a file. It does not show trailers.
pub(crate) struct NginxServer {
    nginx: Nginx,
    /// What was read of the log so far.
    seen: Mutex<Vec<Value>>,
}

impl NginxServer {
    /// `listen` is said after the port, as `http2`.
    pub(crate) fn start(pod: &Pod, listen: &str, files: &Files) -> Self {
        let files = files.text();
        let variables = [
            ("method", "request_method"),
            ("uri", "request_uri"),
            ("status", "status"),
            ("body", "request_body_file"),
            ("marked", "http_x_umbra_shadow"),
            ("host", "http_host"),
            ("accept", "http_accept"),
            ("content-type", "http_content_type"),
            ("content-length", "http_content_length"),
            ("transfer-encoding", "http_transfer_encoding"),
            ("user-agent", "http_user_agent"),
            ("cookie", "http_cookie"),
            ("range", "http_range"),
            ("if-none-match", "http_if_none_match"),
            ("x-twice", "http_x_twice"),
            ("x-long", "http_x_long"),
        ];
        let fields = variables.map(|(name, variable)| format!("\"{name}\":\"${variable}\"")).join(",");
        let http = format!(
            "log_format seen escape=json '{{{fields}}}';
             types {{ text/plain txt; }} default_type application/octet-stream; etag on;
             client_max_body_size 0; client_body_in_file_only on; keepalive_requests 1000000; gzip_min_length 1;
             absolute_redirect off;
             server {{ listen 127.0.0.1:9001; access_log off; return 200 'got it\\n'; }}
             server {{
               listen {PORT} {listen}; access_log seen.log seen; root {files};
               location /upload {{ proxy_pass http://127.0.0.1:9001; }}
               location /trailers {{ proxy_pass http://127.0.0.1:9001; add_trailer x-checksum abc; }}
               location /gzip {{ gzip on; gzip_types *; alias {files}/; }}
               location = /nothing {{ return 204; }}
               location = /elsewhere {{ return 302 /hello.txt; }}
             }}"
        );
        let nginx = Nginx::start(pod.netns(), (Ipv4Addr::LOCALHOST, PORT).into(), &http);
        Self { nginx, seen: Mutex::default() }
    }
}

impl Server for NginxServer {
    fn records(&self) -> Vec<Value> {
        let log = self.nginx.file("seen.log");
        let mut seen = self.seen.lock().unwrap();
        // The line that nginx is writing at this moment does not count.
        let new = log.split_inclusive('\n').filter(|line| line.ends_with('\n')).skip(seen.len());
        seen.extend(new.map(with_hashed_body));
        seen.clone()
    }
}

fn with_hashed_body(line: &str) -> Value {
    let mut seen: Value = serde_json::from_str(line).unwrap();
    let bytes = match seen["body"].as_str().unwrap_or_default() {
        "" => Vec::new(),
        file => fs::read(file).unwrap(),
    };
    seen["body"] = format!("{:?}", Body::of(&bytes)).into();
    seen
}

/// A program of this suite or a known one, told to listen on [`PORT`]; killed when dropped. What it says on its standard
/// output is its record.
pub(crate) struct Program {
    child: Child,
    dir: TempDir,
}

impl Program {
    /// A Python program of this suite.
    pub(crate) fn python(pod: &Pod, file: &str, arguments: &[&str]) -> Self {
        let mut command = pod.netns().command(support::python());
        command.arg(programs().join(file)).arg(PORT.to_string()).args(arguments);
        Self::start(pod, command)
    }

    pub(crate) fn start(pod: &Pod, mut command: Command) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let said = fs::File::create(dir.path().join("said")).unwrap();
        let child = command.stdin(Stdio::null()).stdout(said).spawn();
        let child = child.unwrap_or_else(|error| {
            panic!("cannot start {command:?}: {error}; run by `cargo xtask test`, which installs it")
        });
        let mut program = Self { child, dir };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
        eventually("a server to listen", || {
            assert!(program.child.try_wait().unwrap().is_none(), "{command:?} ended; its complaint is above");
            pod.netns().connect(address).ok()
        });
        program
    }

    pub(crate) fn said(&self) -> String {
        fs::read_to_string(self.dir.path().join("said")).unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server for Program {
    fn records(&self) -> Vec<Value> {
        let said = self.said();
        let lines = said.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        lines.filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

/// Where the programs find their certificate.
pub(crate) fn certificate(dir: &std::path::Path) -> [PathBuf; 2] {
    let [key, certificate] = ["key.pem", "certificate.pem"].map(|name| dir.join(name));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=peers.test", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .stderr(Stdio::null())
        .status();
    assert!(made.is_ok_and(|status| status.success()), "openssl made no certificate");
    [key, certificate]
}
