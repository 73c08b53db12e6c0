//! Cgroups in the layouts that kubelets and container runtimes make.

use super::*;

const UID: &str = "6b1f0a4e-37a5-4b1c-9d7e-0c9a3a4c1f55";
/// Of the systemd driver, as a name of the pod's slice.
const UNDERLINED: &str = "6b1f0a4e_37a5_4b1c_9d7e_0c9a3a4c1f55";

/// A tree of cgroups with these processes.
fn tree(cgroups: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, processes) in cgroups {
        fs::create_dir_all(root.path().join(path)).unwrap();
        fs::write(root.path().join(path).join("cgroup.procs"), processes).unwrap();
    }
    root
}

/// Processes below 10 are the host's.
fn find(trees: &[&tempfile::TempDir]) -> Result<u32, Missing> {
    let mut trees: Vec<_> = trees.iter().map(|root| Tree::new(root.path().to_owned())).collect();
    process_of(UID, &mut trees, |pid| if pid < 10 { Err(Missing::OnHost) } else { Ok(()) })
}

#[test]
fn a_pod_is_found_under_either_driver_and_runtime() {
    let systemd =
        |class: &str| format!("kubepods.slice/kubepods{class}.slice/kubepods{class}-pod{UNDERLINED}.slice");
    let pods = [
        systemd("-burstable"),
        // Of the class Guaranteed.
        format!("kubepods.slice/kubepods-pod{UNDERLINED}.slice"),
        // A node that is a container itself (kind).
        format!(
            "kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod{UNDERLINED}.slice"
        ),
        format!("kubepods/besteffort/pod{UID}"),
        format!("kubelet/kubepods/pod{UID}"),
    ];
    let containers =
        ["cri-containerd-0123.scope", "crio-0123.scope", "crio-0123/init.scope", "docker-0123.scope", "0123"];
    for pod in &pods {
        for container in containers {
            let container = format!("{pod}/{container}");
            let tree = tree(&[
                ("system.slice/ssh.service", "11\n"),
                ("kubepods/pod00000000-37a5-4b1c-9d7e-0c9a3a4c1f55/c", "12\n"),
                (pod, ""),
                (&container, "0\n77\n78\n"),
            ]);
            assert_eq!(find(&[&tree]), Ok(77), "{container}");
        }
    }
}

#[test]
fn a_helper_of_the_runtime_is_not_the_pods() {
    let pod = format!("kubepods.slice/kubepods-pod{UNDERLINED}.slice");
    let (conmon, container) = (format!("{pod}/crio-conmon-0123.scope"), format!("{pod}/crio-0123.scope"));
    assert_eq!(find(&[&tree(&[(&pod, ""), (&conmon, "5\n"), (&container, "77\n")])]), Ok(77));
    assert_eq!(find(&[&tree(&[(&pod, ""), (&conmon, "5\n"), (&container, "")])]), Err(Missing::OnHost));
}

#[test]
fn a_pod_within_a_pod_is_not_of_this_node() {
    let nested = format!("kubepods/pod00000000-37a5-4b1c-9d7e-0c9a3a4c1f55/0123/kubepods/pod{UID}/c");
    assert_eq!(find(&[&tree(&[(&nested, "77\n")])]), Err(Missing::NotHere));
}

#[test]
fn why_a_pod_is_not_found_is_told() {
    let pod = format!("kubepods/pod{UID}");
    for (cgroups, why) in [
        (&[("system.slice", "11\n")][..], Missing::NoPods),
        (&[("kubepods/pod6b1f0a4e", "15\n")], Missing::NotHere),
        (&[(pod.as_str(), "")], Missing::NotHere),
        (&[(pod.as_str(), "0\n0\n")], Missing::Invisible),
        (&[(pod.as_str(), "5\n")], Missing::OnHost),
    ] {
        assert_eq!(find(&[&tree(cgroups)]), Err(why));
    }
}

#[test]
fn of_several_hierarchies_the_one_with_the_pods_processes_counts() {
    let pod = format!("kubepods/pod{UID}/c");
    let (unified, memory) = (tree(&[("init.scope", "11\n"), (&pod, "")]), tree(&[(&pod, "77\n")]));
    assert_eq!(find(&[&unified, &memory]), Ok(77));
}

#[test]
fn mounts_are_those_of_the_kernel_in_any_mode() {
    let hybrid = "24 1 0:22 / /sys rw - sysfs sysfs rw\n\
        31 24 0:27 / /sys/fs/cgroup/memory rw,nosuid shared:8 - cgroup cgroup rw,memory\n\
        30 24 0:26 / /sys/fs/cgroup/uni\\040fied rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n\
        40 24 0:26 / /somewhere/else rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
    let expected = ["/sys/fs/cgroup/uni fied", "/sys/fs/cgroup/memory"].map(PathBuf::from);
    assert_eq!(cgroups(mounts::parse(hybrid)), expected);
    assert!(cgroups(mounts::parse("24 1 0:22 / /sys rw - sysfs sysfs rw\n")).is_empty());
}

#[test]
fn of_a_container_its_own_and_the_hosts_cgroups_are_looked_through() {
    let container = "30 24 0:26 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw\n\
        31 24 0:26 /../../.. /host/sys/fs/cgroup ro,nosuid - cgroup2 cgroup2 rw\n";
    assert_eq!(
        cgroups(mounts::parse(container)),
        ["/sys/fs/cgroup", "/host/sys/fs/cgroup"].map(PathBuf::from)
    );
}
