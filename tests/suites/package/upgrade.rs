//! The Debian package from its installation to its end, under load.

use std::{fs, net::SocketAddr};

use support::{Asking, Load, Nginx, Node, upstream};

use crate::{bits, capabilities, debian::Debian, manager::Manager, packaged, passage, rules, unit::Unit};

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

#[test]
fn installed_upgraded_and_purged_under_load_no_request_is_lost_and_nothing_is_left() {
    let node = Node::new();
    let (host, shadow, client) = (node.pod("host"), node.pod("shadow"), node.pod("client"));
    let app = SocketAddr::new(host.ip(), 8080);
    let http = "  access_log off;\n  keepalive_requests 1000000000;\n  \
                server { listen 8080 backlog=4096; location / { return 200 ok; } }";
    let _app = Nginx::start(host.netns(), app, http);
    let copies = upstream(&shadow).replies("ok").start();
    let debian = Debian::new();
    let mut manager = Manager::new(&debian, host.netns());
    let (files, found) = (debian.files(), passage(host.netns()));
    let load = Load::of(client.netns(), app, &CLIENTS);
    let more_copies = || {
        let next = copies.count() + 100;
        copies.eventually_received(next);
    };

    manager.dpkg(&["--install", &debian.bring(&packaged(".deb"))]);
    assert_eq!(manager.starts, 1);
    let etc = debian.root().join("etc");
    assert!(etc.join("systemd/system/multi-user.target.wants/umbra.service").is_symlink(), "it is enabled");
    // Rules take effect as they come; the settings are the administrator's from now on.
    fs::write(etc.join("umbra/rules.yaml"), rules(app, copies.address())).unwrap();
    more_copies();
    let unit = Unit::read(&debian.root().join("usr/lib/systemd/system/umbra.service"));
    let allowed = bits(&unit.words("CapabilityBoundingSet"));
    assert_eq!(capabilities(manager.running().unwrap().pid()), [allowed; 3]);
    manager.is_told("WATCHDOG=1");
    let settings = fs::read_to_string(etc.join("umbra/agent.yaml")).unwrap() + "# mine\n";
    fs::write(etc.join("umbra/agent.yaml"), &settings).unwrap();

    manager.dpkg(&["--install", &debian.bring_next(&packaged(".deb"), "99.0")]);
    assert_eq!(manager.starts, 2);
    assert_eq!(debian.run(&["dpkg-query", "--show", "--showformat=${Version}", "umbra"]), "99.0");
    assert_eq!(fs::read_to_string(etc.join("umbra/agent.yaml")).unwrap(), settings);
    more_copies();

    manager.dpkg(&["--remove", "umbra"]);
    assert!(manager.running().is_none());
    assert_eq!(passage(host.netns()), found, "the namespace is as it was");
    assert!(etc.join("umbra/rules.yaml").exists(), "what is removed can be installed again");
    load.eventually_answers(100);

    manager.dpkg(&["--purge", "umbra"]);
    let left: Vec<_> = debian.files().into_iter().filter(|file| !files.contains(file)).collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(debian.files(), files);
    let report = load.stop();
    assert!(report.failures.is_empty(), "{:#?}", report.failures);
    println!("{} requests answered, {} copied", report.answered, copies.count());
}
