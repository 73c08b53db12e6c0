//! Runtimes of the test's own, that really speak gRPC, and processes that are really there.

mod stub;

use std::{
    io::Write as _,
    os::unix::net::UnixListener,
    process::{Child, Command},
    thread,
};

use bytes::Bytes;
use serde_json::json;

use super::{
    messages::{
        Container, INFO, LinuxPodSandboxStatus, Namespace, NamespaceOption, PodSandboxMetadata,
        PodSandboxStatus,
    },
    *,
};
use stub::{Reply, Stub};

const UID: &str = "6b1f0a4e-37a5-4b1c-9d7e-0c9a3a4c1f55";
/// Every process has a cgroup with this in its path.
const NAMED: &str = "/";
/// No process has one with this.
const ELSEWHERE: &str = "5d37407dc7f5a557b59215f40610d156";

/// What a runtime says of one pod.
#[derive(Clone, Default)]
struct Pod {
    sandboxes: Vec<PodSandbox>,
    network: i32,
    /// Of the sandbox, by its name, and of its containers.
    info: HashMap<String, serde_json::Value>,
    containers: Vec<Container>,
}

impl Pod {
    /// With one sandbox.
    fn new(sandbox: &str, info: serde_json::Value) -> Self {
        let info = HashMap::from([(sandbox.to_owned(), info)]);
        Self { sandboxes: vec![ready(sandbox, UID, 1)], info, ..Self::default() }
    }

    fn answer(&self, method: &str, question: Bytes) -> Reply {
        let told = |id: &str| HashMap::from([(INFO.to_owned(), self.info[id].to_string())]);
        match method {
            "ListPodSandbox" => {
                let filter = ListPodSandboxRequest::decode(question).unwrap().filter.unwrap();
                assert_eq!(
                    (filter.state.unwrap().state, &*filter.label_selector[UID_LABEL]),
                    (SANDBOX_READY, UID)
                );
                Reply::message(&ListPodSandboxResponse { items: self.sandboxes.clone() })
            }
            "PodSandboxStatus" => {
                let question = PodSandboxStatusRequest::decode(question).unwrap();
                assert!(question.verbose);
                let options = Some(NamespaceOption { network: self.network });
                let linux = Some(LinuxPodSandboxStatus { namespaces: Some(Namespace { options }) });
                let status = Some(PodSandboxStatus { linux });
                Reply::message(&PodSandboxStatusResponse { status, info: told(&question.pod_sandbox_id) })
            }
            "ListContainers" => {
                Reply::message(&ListContainersResponse { containers: self.containers.clone() })
            }
            "ContainerStatus" => {
                let question = ContainerStatusRequest::decode(question).unwrap();
                Reply::message(&ContainerStatusResponse { info: told(&question.container_id) })
            }
            _ => Reply::Status(12, "unknown method"),
        }
    }

    fn asked(self) -> Result<PathBuf, Trouble> {
        let stub = Stub::start(move |method, question| self.answer(method, question));
        ask(&runtime(&stub))
    }
}

fn ready(id: &str, uid: &str, created_at: i64) -> PodSandbox {
    let metadata = Some(PodSandboxMetadata { uid: uid.to_owned() });
    PodSandbox { id: id.to_owned(), metadata, state: SANDBOX_READY, created_at }
}

fn runtime(stub: &Stub) -> Arc<Runtime> {
    Arc::new(Runtime::at(stub.socket()))
}

/// In a look of its own.
fn ask(runtime: &Arc<Runtime>) -> Result<PathBuf, Trouble> {
    Asked::new(Arc::clone(runtime)).netns_of(UID, &Shared::read())
}

/// A process in a network of its own.
struct Process(Child);

impl Process {
    fn start() -> Self {
        let process = Self(Command::new("unshare").args(["--net", "sleep", "100"]).spawn().unwrap());
        while Shared::read().has(&process.netns()).unwrap() {
            thread::yield_now();
        }
        process
    }

    fn netns(&self) -> PathBuf {
        of_process(self.0.id())
    }

    fn info(&self) -> serde_json::Value {
        json!({"pid": self.0.id(), "runtimeType": "io.containerd.runc.v2"})
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// As runtimes write the file of a network namespace.
fn with_file(pid: u32, file: &str) -> serde_json::Value {
    json!({"pid": pid, "runtimeSpec": {"linux": {"namespaces": [{"type": "pid"}, {"type": "network", "path": file}]}}})
}

#[test]
fn the_process_of_the_pods_sandbox_leads_to_its_network() {
    let process = Process::start();
    assert_eq!(Pod::new(NAMED, process.info()).asked().unwrap(), process.netns());
}

#[test]
fn the_newest_sandbox_of_the_pod_counts_and_no_other_pods() {
    let process = Process::start();
    let mut pod = Pod::new(NAMED, process.info());
    let ended = PodSandbox { state: 1, ..ready("ended", UID, 9) };
    pod.sandboxes.extend([ready("first", UID, 0), ended, ready("other", "another-uid", 8)]);
    assert_eq!(pod.asked().unwrap(), process.netns());
}

#[test]
fn a_container_leads_there_where_the_sandbox_has_no_process() {
    let process = Process::start();
    let mut pod = Pod::new(ELSEWHERE, json!({}));
    pod.info.extend([("ended".to_owned(), json!({"pid": 0})), (NAMED.to_owned(), process.info())]);
    let container =
        |id: &str, sandbox: &str| Container { id: id.to_owned(), pod_sandbox_id: sandbox.to_owned() };
    pod.containers = [("foreign", "another"), ("ended", ELSEWHERE), (NAMED, ELSEWHERE)]
        .map(|(id, of)| container(id, of))
        .into();
    assert_eq!(pod.asked().unwrap(), process.netns());
}

#[test]
fn a_file_of_the_namespace_counts_where_it_is_seen_and_the_process_is_not() {
    let process = Process::start();
    let file = process.netns();
    let of_other = with_file(std::process::id(), file.to_str().unwrap());
    assert_eq!(Pod::new(ELSEWHERE, of_other).asked().unwrap(), file);
    assert_eq!(Pod::new(ELSEWHERE, with_file(0, file.to_str().unwrap())).asked().unwrap(), file);
}

/// Opened, the pipe would wait for ever.
#[test]
fn a_file_that_is_no_namespace_or_not_the_pods_own_is_not_taken() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    for file in [pipe.to_str().unwrap(), "/proc/self/ns/net", "/nowhere", "relative"] {
        let trouble = Pod::new(ELSEWHERE, with_file(0, file)).asked().unwrap_err();
        assert!(matches!(trouble, Trouble::Nowhere(_)), "{file}: {trouble}");
    }
}

#[test]
fn another_process_of_the_same_number_is_not_the_pods() {
    let process = Process::start();
    let trouble = Pod::new(ELSEWHERE, process.info()).asked().unwrap_err();
    assert!(matches!(trouble, Trouble::Invisible(pid) if pid == process.0.id()), "{trouble}");
}

#[test]
fn a_pod_on_the_hosts_network_is_told_by_its_options_and_by_its_process() {
    let process = Process::start();
    let by_options = Pod { network: NODE, ..Pod::new(NAMED, process.info()) };
    let by_process = Pod::new(NAMED, json!({"pid": std::process::id()}));
    for pod in [by_options, by_process] {
        assert!(matches!(pod.asked(), Err(Trouble::OnHost)));
    }
}

#[test]
fn a_pod_that_the_runtime_does_not_know_or_tells_nothing_of_is_not_found() {
    let unknown = Pod::default().asked().unwrap_err();
    assert!(matches!(unknown, Trouble::Unknown(_)), "{unknown}");
    for info in [json!([]), json!({"pid": "7"}), json!({"pid": -7})] {
        let unreadable = Pod::new(NAMED, info).asked().unwrap_err();
        assert!(matches!(unreadable, Trouble::Unreadable(..)), "{unreadable}");
    }
}

#[test]
fn what_is_wrong_with_a_runtime_is_told() {
    let empty = tempfile::tempdir().unwrap();
    let socket = empty.path().join("cri.sock");
    let said = |runtime: &Arc<Runtime>| ask(runtime).unwrap_err().to_string();
    let nobody = Arc::new(Runtime::at(socket.clone()));
    assert!(said(&nobody).contains("must be mounted"), "{}", said(&nobody));
    drop(UnixListener::bind(&socket).unwrap());
    assert!(said(&nobody).contains("nobody listens"), "{}", said(&nobody));

    for (reply, expected) in [
        (Reply::Status(12, "unknown service runtime.v1.RuntimeService"), "does not speak CRI v1"),
        (Reply::Status(14, "server is not initialized yet"), "not initialized yet (gRPC status 14)"),
        (Reply::Status(0, ""), "no message"),
        (Reply::Endless, "answers with more than 1048576 bytes"),
        (Reply::Message(vec![0x0a, 0xff, 0x01]), "does not answer as a CRI runtime"),
    ] {
        let stub = Stub::start(move |_, _| reply.clone());
        let said = said(&runtime(&stub));
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn what_speaks_another_protocol_is_no_runtime() {
    let directory = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(directory.path().join("cri.sock")).unwrap();
    let web = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    });
    let trouble = ask(&Arc::new(Runtime::at(directory.path().join("cri.sock")))).unwrap_err();
    assert!(trouble.to_string().contains("does not answer as a CRI runtime"), "{trouble}");
    web.join().unwrap();
}

#[test]
fn one_that_hangs_is_left_alone_and_one_that_answers_again_is_asked_again() {
    let stub = Stub::start(|_, _| Reply::Silence);
    let hangs = runtime(&stub);
    for _ in 0..3 {
        assert!(matches!(ask(&hangs), Err(Trouble::Slow)));
    }
    assert_eq!(stub.connections(), 1, "asked once");

    hangs.rest().until = Some(Instant::now());
    assert!(matches!(ask(&hangs), Err(Trouble::Slow)));
    assert_eq!((stub.connections(), hangs.rest().times), (2, 2));
    hangs.has_answered();
    assert!(!hangs.is_resting());
}

#[test]
fn a_look_asks_one_that_is_gone_once() {
    let stub = Stub::start(|_, _| Reply::Message(vec![0xff]));
    let mut asked = Asked::new(runtime(&stub));
    let shared = Shared::read();
    for _ in 0..3 {
        assert!(matches!(asked.netns_of(UID, &shared), Err(Trouble::Call(_))));
    }
    assert_eq!(stub.connections(), 1);
}

#[test]
fn a_runtime_tells_its_name_and_version() {
    let version =
        VersionResponse { runtime_name: "containerd\n".into(), runtime_version: "1.6.20".to_owned() };
    let stub = Stub::start(move |_, _| Reply::message(&version));
    assert_eq!(runtime(&stub).version().unwrap(), "containerd 1.6.20");
    let none = Runtime::at("/nowhere/cri.sock".into()).version().unwrap_err();
    assert!(none.contains("/nowhere/cri.sock"), "{none}");
}
