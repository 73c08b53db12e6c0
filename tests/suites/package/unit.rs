//! The unit, read as systemd reads it.

use std::{collections::HashMap, fs, path::Path};

use umbra::process::privileges::NEEDED;

use crate::{bits, debian::Debian, packaged};

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
    debian.run(&["systemd-analyze", "verify", "--man=no", "umbra.service"]);

    let path = debian.root().join("usr/lib/systemd/system/umbra.service");
    let unit = Unit::read(&path);
    let needed = NEEDED.map(|(_, name, _)| name.to_owned());
    assert_eq!(bits(&unit.words("CapabilityBoundingSet")), bits(&needed));
    assert_eq!(unit.words("Type"), ["notify"]);
    // Above it systemd calls a unit exposed; below it are those that may do less than enrolling takes.
    debian.run(&["systemd-analyze", "security", "--offline=true", "--threshold=70", "umbra.service"]);
}
