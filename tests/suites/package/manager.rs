//! systemd's part, as far as the package's scripts and the unit ask for it. The scripts call a `systemctl` that passes on what
//! it is asked; here the unit's program is started as the unit says, waited for, and stopped.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{ErrorKind, Read as _, Write as _},
    os::unix::{
        fs::{OpenOptionsExt as _, PermissionsExt as _},
        net::UnixDatagram,
    },
    thread,
    time::Duration,
};

use nix::{libc, sys::stat::Mode, unistd::mkfifo};
use support::{Netns, eventually};

use crate::{
    container::{Container, Running},
    debian::Debian,
    pair,
    unit::Unit,
};

const SYSTEMCTL: &str = "#!/bin/sh
wants=/etc/systemd/system/multi-user.target.wants
for word; do
    case $word in
    daemon-reload) exit 0 ;;
    preset) mkdir -p $wants && ln -sf /usr/lib/systemd/system/umbra.service $wants; exit ;;
    is-enabled) [ -L $wants/umbra.service ] && echo enabled; exit ;;
    start | stop | restart | is-active)
        echo $word > /run/systemd/asked
        read -r status < /run/systemd/answered
        exit $status ;;
    esac
done
exit 1
";

pub(crate) struct Manager<'a> {
    debian: &'a Debian,
    netns: &'a Netns,
    asked: File,
    answered: File,
    notify: UnixDatagram,
    running: Option<Running>,
    /// What the service has said of itself.
    pub(crate) told: Vec<String>,
    pub(crate) starts: u32,
}

impl<'a> Manager<'a> {
    /// Manages a Debian whose network is this namespace.
    pub(crate) fn new(debian: &'a Debian, netns: &'a Netns) -> Self {
        let run = debian.root().join("run/systemd");
        fs::create_dir_all(run.join("system")).unwrap();
        let systemctl = debian.root().join("usr/bin/systemctl");
        fs::write(&systemctl, SYSTEMCTL).unwrap();
        fs::set_permissions(&systemctl, Permissions::from_mode(0o755)).unwrap();
        // Open in both directions a pipe never ends, and opening it waits for nobody.
        let pipe = |name: &str| {
            mkfifo(&run.join(name), Mode::S_IRWXU).unwrap();
            let mut options = OpenOptions::new();
            options.read(true).write(true).custom_flags(libc::O_NONBLOCK).open(run.join(name)).unwrap()
        };
        let (asked, answered) = (pipe("asked"), pipe("answered"));
        let notify = UnixDatagram::bind(run.join("notify")).unwrap();
        notify.set_nonblocking(true).unwrap();
        Self { debian, netns, asked, answered, notify, running: None, told: Vec::new(), starts: 0 }
    }

    /// Runs dpkg, and does what its scripts ask for.
    pub(crate) fn dpkg(&mut self, words: &[&str]) {
        let dir = tempfile::tempdir().unwrap();
        let log = File::create(dir.path().join("log")).unwrap();
        let mut dpkg = self.debian.command(&[&["dpkg"], words].concat());
        let mut dpkg = dpkg.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let status = loop {
            let mut verb = [0; 32];
            match self.asked.read(&mut verb) {
                Ok(length) => {
                    let verb = String::from_utf8_lossy(&verb[..length]).trim().to_owned();
                    let status = self.does(&verb);
                    writeln!(self.answered, "{status}").unwrap();
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            if let Some(status) = dpkg.try_wait().unwrap() {
                break status;
            }
            thread::sleep(Duration::from_millis(5));
        };
        let said = fs::read_to_string(dir.path().join("log")).unwrap();
        assert!(status.success(), "dpkg {words:?}: {said}");
    }

    fn does(&mut self, verb: &str) -> u8 {
        match verb {
            "start" => self.start(),
            "stop" => self.stop(),
            "restart" => {
                self.stop();
                self.start();
            }
            "is-active" => return if self.running.is_some() { 0 } else { 3 },
            other => panic!("nobody asks for {other}"),
        }
        0
    }

    fn start(&mut self) {
        let root = self.debian.root();
        let unit = Unit::read(&root.join("usr/lib/systemd/system/umbra.service"));
        // RuntimeDirectory and LogsDirectory.
        let writable = [("run", "RuntimeDirectory"), ("var/log", "LogsDirectory")].map(|(place, key)| {
            let inside = format!("{place}/{}", unit.words(key).concat());
            let folder = root.join(&inside);
            fs::create_dir_all(&folder).unwrap();
            fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
            (folder, format!("/{inside}"), "--bind")
        });
        let environment =
            ["PATH=/usr/bin:/bin", "NOTIFY_SOCKET=/run/systemd/notify", "WATCHDOG_USEC=1000000"];
        let container = Container {
            root,
            netns: self.netns,
            program: unit.words("ExecStart"),
            environment: environment.map(pair).to_vec(),
            capabilities: unit.words("CapabilityBoundingSet"),
            mounts: writable.to_vec(),
        };
        self.told.clear();
        self.running = Some(container.start());
        self.starts += 1;
        self.is_told("READY=1");
    }

    /// Waits until the service has said this.
    pub(crate) fn is_told(&mut self, what: &str) {
        eventually(what, || {
            self.listen();
            if let Some(running) = &mut self.running {
                assert!(running.exit_status().is_none(), "the service has ended:\n{}", running.log());
            }
            self.told.iter().any(|told| told == what).then_some(())
        });
    }

    fn listen(&mut self) {
        let mut words = [0; 256];
        while let Ok(length) = self.notify.recv(&mut words) {
            self.told.extend(String::from_utf8_lossy(&words[..length]).lines().map(str::to_owned));
        }
    }

    fn stop(&mut self) {
        // Only ten messages wait to be read, and a sign of life has come four times a second.
        self.listen();
        let Some(running) = self.running.take() else { return };
        let (status, log) = running.stop();
        assert!(status.success() && log.contains("connections_cut=0"), "{status}: {log}");
        self.is_told("STOPPING=1");
        // drainTimeout, and five seconds.
        self.is_told("EXTEND_TIMEOUT_USEC=15000000");
        fs::remove_dir_all(self.debian.root().join("run/umbra")).unwrap();
    }

    pub(crate) fn running(&self) -> Option<&Running> {
        self.running.as_ref()
    }
}
