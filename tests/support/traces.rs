//! Everything of a namespace that enrolling touches and withdrawing restores.

use crate::Netns;

impl Netns {
    /// Rules, routes of every table and settings, as text to compare.
    pub fn traces(&self) -> String {
        let mut traces = String::new();
        for arguments in ["rule", "-6 rule", "route show table all", "-6 route show table all"] {
            let output = self.command("ip").args(arguments.split(' ')).output().unwrap();
            // Link-local addresses appear by themselves, some time after their device.
            let lines = String::from_utf8_lossy(&output.stdout).into_owned();
            let lasting = lines.lines().filter(|line| !line.contains("fe80::") && !line.contains("ff00::"));
            traces.extend(lasting.map(|line| format!("{line}\n")));
        }
        self.run(|| {
            for setting in ["ipv4/tcp_fwmark_accept", "ipv4/fwmark_reflect", "ipv6/fwmark_reflect"] {
                traces.push_str(&std::fs::read_to_string(format!("/proc/sys/net/{setting}")).unwrap());
            }
        });
        traces
    }
}
