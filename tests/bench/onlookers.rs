//! Everybody who can look on: a tap that follows every request, and the dashboard. The audit log is the agent's own.

use std::{
    os::unix::process::CommandExt as _,
    process::Stdio,
    sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel},
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow};

use crate::{case::Setting, client::Running, site::Site};

/// What the page asks for, and how often (agent/src/admin/ui/app.js).
const PAGE: [&str; 2] = ["/api/v1/traffic?limit=1000", "/api/v1/status"];
const EVERY: Duration = Duration::from_secs(2);

/// They look until they are closed, or dropped.
pub(crate) struct Onlookers {
    _tap: Running,
    /// Dropped, the page is closed.
    closed: SyncSender<()>,
    page: JoinHandle<()>,
}

impl Onlookers {
    /// None where nobody is to look.
    pub(crate) fn of(site: &Site) -> Result<Option<Self>> {
        let Some(agent) = site.agent().filter(|_| site.case.1 == Setting::Watched) else { return Ok(None) };
        let mut tap = site.netns().command(support::binary());
        tap.args(["tap", "--output", "json"]).env("UMBRA_ADMIN", agent.admin().to_string());
        tap.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let tap = Running(tap.spawn().context("cannot start `umbra tap`")?);
        let (netns, admin) = (site.netns().clone(), agent.admin());
        let (closed, close) = sync_channel(0);
        let page = std::thread::spawn(move || {
            let mut browser = support::Client::new(&netns, admin);
            loop {
                PAGE.iter().for_each(|path| drop(browser.get(path)));
                if close.recv_timeout(EVERY) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        });
        support::eventually("the tap to look on", || {
            (agent.metrics().sum("umbra_tap_clients") > 0.5).then_some(())
        });
        Ok(Some(Self { _tap: tap, closed, page }))
    }

    /// # Errors
    /// When the page did not get what it asked for.
    pub(crate) fn close(self) -> Result<()> {
        drop(self.closed);
        self.page.join().map_err(|_| anyhow!("the dashboard was not answered"))
    }
}
