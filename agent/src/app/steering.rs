//! Once a second: shares that ShadowPolicies let move are moved by what has happened to copies, and by how busy the
//! node is.

use std::{fs, sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};

use crate::{
    route::{DrawnFor, Mirror, Share},
    shadow::Plane,
};

const EVERY: Duration = Duration::from_secs(1);
/// Pressure stall information, Linux 4.20 or newer (`CONFIG_PSI`).
const PRESSURE: &str = "/proc/pressure/cpu";

/// Runs until it is dropped. `recapture` tells the kernel the shares anew; it is called when one that the kernel draws by
/// has moved.
pub(super) async fn steer(plane: Arc<Plane>, recapture: impl Fn() -> anyhow::Result<()>) {
    let mut told_shares = Vec::new();
    let mut second = interval(EVERY);
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = false;
    loop {
        second.tick().await;
        plane.steer(|| {
            let pressure = fs::read_to_string(PRESSURE).ok().and_then(|text| some_avg10(&text));
            if pressure.is_none() && !std::mem::replace(&mut told, true) {
                tracing::warn!("{PRESSURE} cannot be read: maxCpuPressure of ShadowPolicies has no effect");
            }
            pressure
        });
        let shares = shares_of_connections(&plane.mirrors());
        if shares != told_shares {
            // What cannot be told is tried again.
            match recapture() {
                Ok(()) => told_shares = shares,
                Err(error) => tracing::error!("{error:#}"),
            }
        }
    }
}

/// Those that move and that the kernel draws by.
fn shares_of_connections(mirrors: &[Arc<Mirror>]) -> Vec<Share> {
    let moving = |mirror: &&Arc<Mirror>| {
        *mirror.drawn_for() == DrawnFor::Connection
            && mirror.sampling().is_some_and(|sampling| sampling.adaptive.is_some())
    };
    mirrors.iter().filter(moving).map(|mirror| mirror.connections()).collect()
}

/// The share of the last ten seconds in which some task waited for a CPU, in percent.
fn some_avg10(text: &str) -> Option<f64> {
    let some = text.lines().find_map(|line| line.strip_prefix("some "))?;
    some.split(' ').find_map(|field| field.strip_prefix("avg10="))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_is_read_as_the_kernel_writes_it() {
        let text = "some avg10=12.34 avg60=1.00 avg300=0.10 total=12345\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";
        assert_eq!(some_avg10(text), Some(12.34));
        assert_eq!(some_avg10(""), None);
    }
}
