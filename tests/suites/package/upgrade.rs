//! The Debian package from its installation to its end, under load, with systemd itself.

use std::{fs, net::SocketAddr};

use support::{Asking, Load, Nginx, Node, Pod, Upstream, eventually, upstream};

use crate::{bits, capabilities, debian::Debian, packaged, passage, rules, systemd::Systemd, unit::Unit};

const CLIENTS: [Asking; 8] = [
    Asking::Fresh,
    Asking::Fresh,
    Asking::Fresh,
    Asking::Fresh,
    Asking::Renewed,
    Asking::Renewed,
    Asking::Renewed,
    Asking::Renewed,
];

/// A host with an app, and where its copies go.
struct Place {
    host: Pod,
    client: Pod,
    app: SocketAddr,
    copies: Upstream,
    _shadow: Pod,
    _nginx: Nginx,
    _node: Node,
}

impl Place {
    fn new() -> Self {
        let node = Node::new();
        let (host, shadow, client) = (node.pod("host"), node.pod("shadow"), node.pod("client"));
        let app = SocketAddr::new(host.ip(), 8080);
        let http = "  access_log off;\n  keepalive_requests 1000000000;\n  \
                    server { listen 8080 backlog=4096; location / { return 200 ok; } }";
        let nginx = Nginx::start(host.netns(), app, http);
        let copies = upstream(&shadow).replies("ok").start();
        Self { host, client, app, copies, _shadow: shadow, _nginx: nginx, _node: node }
    }

    fn more_copies(&self) {
        let next = self.copies.count() + 100;
        self.copies.eventually_received(next);
    }
}

#[test]
fn installed_upgraded_and_purged_under_load_no_request_is_lost_and_nothing_is_left() {
    let place = Place::new();
    let host = place.host.netns();
    let debian = Debian::new();
    let systemd = Systemd::boot(&debian, host);
    let (files, found) = (debian.files(), passage(host));
    let load = Load::of(place.client.netns(), place.app, &CLIENTS);

    systemd.dpkg(&["--install", &debian.bring(&packaged(".deb"))]);
    // `Type=notify`: it is active when it has said that it is ready.
    assert_eq!([systemd.property("ActiveState"), systemd.property("UnitFileState")], ["active", "enabled"]);
    // Rules take effect as they come; the settings are the administrator's from now on.
    let etc = debian.root().join("etc");
    fs::write(etc.join("umbra/rules.yaml"), rules(place.app, place.copies.address())).unwrap();
    place.more_copies();
    let unit = Unit::read(&debian.root().join("usr/lib/systemd/system/umbra.service"));
    let allowed = bits(&unit.words("CapabilityBoundingSet"));
    assert_eq!(capabilities(systemd.agent()), [allowed; 3]);
    let sign_of_life = || systemd.property("WatchdogTimestampMonotonic");
    let first = sign_of_life();
    eventually("signs of life", || (sign_of_life() != first).then_some(()));
    let settings = fs::read_to_string(etc.join("umbra/agent.yaml")).unwrap() + "# mine\n";
    fs::write(etc.join("umbra/agent.yaml"), &settings).unwrap();

    let before = systemd.agent();
    systemd.run(&["systemctl", "reload", "umbra"]);
    place.more_copies();
    assert_eq!(systemd.agent(), before);
    systemd.run(&["systemctl", "restart", "umbra"]);
    assert_ne!(systemd.agent(), before);
    place.more_copies();

    let before = systemd.agent();
    systemd.dpkg(&["--install", &debian.bring_next(&packaged(".deb"), "99.0")]);
    assert_ne!(systemd.agent(), before);
    assert_eq!(debian.run(&["dpkg-query", "--show", "--showformat=${Version}", "umbra"]), "99.0");
    assert_eq!(fs::read_to_string(etc.join("umbra/agent.yaml")).unwrap(), settings);
    place.more_copies();

    systemd.dpkg(&["--remove", "umbra"]);
    assert_eq!(systemd.property("ActiveState"), "inactive");
    assert_eq!(passage(host), found, "the namespace is as it was");
    assert!(etc.join("umbra/rules.yaml").exists(), "what is removed can be installed again");
    load.eventually_answers(100);
    let journal = systemd.journal();
    // Told to stop three times: by hand, for the upgrade, and in the end.
    assert_eq!(journal.matches("umbra has stopped connections_cut=0").count(), 3, "{journal}");

    systemd.dpkg(&["--purge", "umbra"]);
    let left: Vec<_> = debian.files().into_iter().filter(|file| !files.contains(file)).collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(debian.files(), files);
    let report = load.stop();
    assert!(report.failures.is_empty(), "{:#?}", report.failures);
    println!("{} requests answered, {} copied", report.answered, place.copies.count());
}

#[test]
fn one_that_hangs_is_replaced_and_the_app_is_answered_meanwhile() {
    let place = Place::new();
    let debian = Debian::new();
    let systemd = Systemd::boot(&debian, place.host.netns());
    systemd.adjust("[Service]\nWatchdogSec=2\nTimeoutStopSec=1\nRestartSec=1\n");
    systemd.dpkg(&["--install", &debian.bring(&packaged(".deb"))]);
    let rules = rules(place.app, place.copies.address());
    fs::write(debian.root().join("etc/umbra/rules.yaml"), rules).unwrap();
    let ask = || assert_eq!(place.client.get(place.app, "/cart").text(), "ok");
    let until_copied = || {
        let before = place.copies.count();
        eventually("a copy", || {
            ask();
            (place.copies.count() > before).then_some(())
        });
    };
    until_copied();

    systemd.run(&["systemctl", "kill", "--signal=STOP", "umbra"]);
    // Within a second the kernel has noticed, and then systemd.
    eventually("systemd to notice", || (systemd.property("SubState") != "running").then_some(()));
    eventually("another agent", || {
        ask();
        let state = [systemd.property("NRestarts"), systemd.property("ActiveState")];
        (state == ["1", "active"]).then_some(())
    });
    until_copied();
    let told = systemd.run(&["journalctl", "--no-pager", "--output", "cat", "_PID=1"]);
    assert!(told.contains("umbra.service: Watchdog timeout"), "{told}");
}
