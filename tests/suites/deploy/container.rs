//! The agent in a container as the chart describes it: a root that is read-only and settings that are too, the capabilities of
//! the DaemonSet and no other, and its mounts.

use serde_json::{Value, json};
use support::{Config, Node, agent, upstream};

use crate::{chart, manifests::documents};

/// Makes a root of its own for what is started, below /mnt, with the machine's folders and these of the node at other places.
fn prelude(capabilities: &str, mounts: &[(String, String)]) -> String {
    let mut script = "\
mount -t tmpfs none /mnt
for entry in /*; do
  case $entry in /mnt | /proc | /host | '/*') continue ;; esac
  if [ -L $entry ]; then cp -P $entry /mnt; elif [ -d $entry ]; then mkdir /mnt$entry; mount --rbind $entry /mnt$entry; fi
done
mkdir /mnt/proc
mount -t proc none /mnt/proc
"
    .to_owned();
    for (from, to) in mounts {
        script += &format!("mkdir -p /mnt{to}\nmount --rbind {from} /mnt{to}\n");
    }
    // As the runtimes do (`readonlyPaths` of the OCI runtime specification).
    script += "mount --bind /mnt/proc/sys /mnt/proc/sys\nmount -o remount,ro,bind /mnt/proc/sys\nmount -o remount,ro /mnt\n";
    script
        + &format!(
            "set -- chroot /mnt setpriv --bounding-set=-all,{capabilities} --inh-caps=-all --no-new-privs \"$@\"\n"
        )
}

fn daemon_set() -> Value {
    let all = documents(&chart::text(&json!({})));
    let set = all.into_iter().find(|object| object["kind"] == "DaemonSet").unwrap();
    set["spec"]["template"]["spec"].clone()
}

/// What of the node is mounted where.
fn mounts(pod: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let of_node = pod["volumes"].as_array().unwrap().iter().filter(|volume| !volume["hostPath"].is_null());
    let mounts = pod["containers"][0]["volumeMounts"].as_array().unwrap();
    let mounts = of_node.map(|volume| {
        let mount = mounts.iter().find(|mount| mount["name"] == volume["name"]).unwrap();
        (text(&volume["hostPath"]["path"]), text(&mount["mountPath"]))
    });
    mounts.collect()
}

#[test]
fn in_a_container_as_the_chart_has_it_apps_see_their_clients() {
    let pod = daemon_set();
    let added = pod["containers"][0]["securityContext"]["capabilities"]["add"].as_array().unwrap().iter();
    let capabilities: Vec<_> =
        added.map(|name| format!("+{}", name.as_str().unwrap().to_lowercase())).collect();
    let (capabilities, mounts) = (capabilities.join(","), mounts(&pod));
    assert_eq!(mounts.len(), 2, "{mounts:?}");
    // Without the node's settings the agent does what it can.
    for (mounts, address) in [(&mounts[..], "kept"), (&[], "local")] {
        let node = Node::new();
        let (app, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
        let primary = upstream(&app).replies("ok").start();
        let copies = upstream(&shadow).replies("ok").start();
        let config = Config::capture(&app.netns().path(), primary.address()).mirror(copies.address(), 100.0);
        let agent = agent(&node).config(&config).after(&prelude(&capabilities, mounts)).start();

        let reply = client.get(primary.address(), "/cart");
        assert_eq!(reply.text(), "ok");
        copies.eventually_received(1);
        agent.accounting_is_exact();

        let status = agent.ask("/api/v1/status").unwrap();
        let status: Value = serde_json::from_str(&status.text()).unwrap();
        assert_eq!(status["namespaces"][0]["clientAddress"], address, "{status:#}\n{}", agent.log());
        assert!(agent.stop().success());
    }
}

#[test]
fn the_probes_tell_a_ready_agent_from_one_that_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("admin.sock");
    let pod = daemon_set();
    let probe = |name: &str| {
        let command = pod["containers"][0][name]["exec"]["command"].as_array().unwrap();
        assert_eq!(command[0], "/usr/bin/umbra");
        let place = |word: &Value| {
            word.as_str().unwrap().replace("/run/umbra/admin.sock", &socket.display().to_string())
        };
        let output =
            std::process::Command::new(support::binary()).args(command[1..].iter().map(place)).output();
        let output = output.unwrap();
        (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let probes = ["readinessProbe", "livenessProbe"];
    for name in probes {
        let (succeeds, said) = probe(name);
        assert!(!succeeds && said.contains("no agent answers"), "{said}");
    }
    let node = Node::new();
    let (app, shadow) = (node.pod("app"), node.pod("shadow"));
    let (primary, copies) = (upstream(&app).replies("ok").start(), upstream(&shadow).replies("ok").start());
    let config = Config::capture(&app.netns().path(), primary.address()).mirror(copies.address(), 100.0);
    let agent = agent(&node).config(&config.socket(&socket)).start();
    for name in probes {
        support::eventually(name, || (probe(name) == (true, String::new())).then_some(()));
    }
    drop(agent);
}
