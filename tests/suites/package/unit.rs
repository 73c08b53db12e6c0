//! The unit, read as systemd reads it.

use std::{collections::HashMap, fs, path::Path, process::Command};

use umbra::process::privileges::NEEDED;

use crate::{bits, debian::Debian, output, packaged};

/// What a unit says, last line first.
pub(crate) struct Unit(HashMap<String, String>);

impl Unit {
    pub(crate) fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with(['#', '[']));
        Self(
            lines
                .filter_map(|line| line.split_once('='))
                .map(|(key, value)| (key.into(), value.into()))
                .collect(),
        )
    }

    pub(crate) fn words(&self, key: &str) -> Vec<String> {
        let value = self.0.get(key).unwrap_or_else(|| panic!("the unit has no {key}"));
        value.split_whitespace().map(str::to_owned).collect()
    }
}

#[test]
fn the_unit_is_sound_and_grants_what_an_agent_needs() {
    let debian = Debian::new();
    debian.run(&["dpkg", "--unpack", &debian.bring(&packaged(".deb"))]);
    let verify = Command::new("systemd-analyze")
        .arg(format!("--root={}", debian.root().display()))
        .args(["verify", "--man=no", "umbra.service"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&verify.stderr);
    // There is no systemd in this Debian.
    let of_ours = |line: &&str| line.contains("umbra") && !line.ends_with("Unit sysinit.target not found.");
    let of_ours: Vec<_> = said.lines().filter(of_ours).collect();
    assert!(of_ours.is_empty(), "{said}");

    let path = debian.root().join("usr/lib/systemd/system/umbra.service");
    let unit = Unit::read(&path);
    let needed = NEEDED.map(|(_, name, _)| name.to_owned());
    assert_eq!(bits(&unit.words("CapabilityBoundingSet")), bits(&needed));
    assert_eq!(unit.words("Type"), ["notify"]);
    // Above it systemd calls a unit exposed; below it are those that may do less than enrolling takes.
    output(Command::new("systemd-analyze").args(["security", "--offline=true", "--threshold=70"]).arg(&path));
}
