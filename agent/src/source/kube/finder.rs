//! Which kinds the server has, and in which version: what is not installed is looked for again about every minute, at little
//! cost to the server, and followed from then on.

use std::{collections::HashMap, sync::Arc, time::Duration};

use http::Request;
use kube::Client;
use serde::Deserialize;
use tokio::{
    sync::{Notify, watch},
    time::{sleep, timeout},
};

use super::{
    Shared,
    kinds::{COUNT, KINDS, Kind},
    lines::Trouble,
    pause::{Pause, spread},
    standing::State,
    store::Target,
    watch::LOOK,
};

/// For one answer.
const WITHIN: Duration = Duration::from_secs(10);
/// A kind that is suddenly gone may be a server that has just begun: what is known of it stays for so long.
const GRACE: Duration = Duration::from_secs(30);

/// The version of each kind, of those that are installed.
pub(super) type Versions = [Option<&'static str>; COUNT];

/// Looks for kinds until it is dropped.
pub(super) struct Finder {
    pub(super) client: Client,
    pub(super) shared: Arc<Shared>,
    pub(super) versions: Arc<watch::Sender<Versions>>,
    /// Somebody wants it to look now.
    pub(super) look: Arc<Notify>,
}

#[derive(Deserialize)]
struct Group {
    versions: Vec<GroupVersion>,
}

#[derive(Deserialize)]
struct GroupVersion {
    version: String,
}

#[derive(Deserialize)]
struct InVersion {
    resources: Vec<Served>,
}

#[derive(Deserialize)]
struct Served {
    name: String,
}

impl Finder {
    pub(super) async fn run(self) {
        let mut pause = Pause::default();
        loop {
            let mut soon = false;
            for (group, kinds) in self.missing() {
                match self.served(group, &kinds).await {
                    Ok(found) => soon |= self.tell(&kinds, &found),
                    Err(trouble) => {
                        soon = true;
                        let why = trouble.to_string();
                        kinds.iter().for_each(|kind| {
                            self.shared.turn(&Target::Kind(*kind), State::Away, Some(why.clone()));
                        });
                    }
                }
            }
            let wait = if soon { pause.next() } else { spread(LOOK) };
            if !soon {
                pause.reset();
            }
            tokio::select! {
                () = self.look.notified() => {}
                () = sleep(wait) => {}
            }
        }
    }

    /// By group.
    fn missing(&self) -> HashMap<&'static str, Vec<usize>> {
        let versions = *self.versions.borrow();
        let mut missing = HashMap::<_, Vec<usize>>::new();
        for (index, kind) in KINDS.iter().enumerate() {
            if versions[index].is_none() {
                missing.entry(kind.group).or_default().push(index);
            }
        }
        missing
    }

    /// The versions of these kinds of a group, as far as it has them.
    async fn served(&self, group: &str, kinds: &[usize]) -> Result<HashMap<usize, &'static str>, Trouble> {
        let mut found = HashMap::new();
        let Some(Group { versions }) = self.ask::<Group>(&format!("/apis/{group}")).await? else {
            return Ok(found);
        };
        for version in versions {
            let wanted = |kind: &Kind| kind.versions.iter().position(|known| *known == version.version);
            if !kinds.iter().any(|kind| wanted(&KINDS[*kind]).is_some()) {
                continue;
            }
            let path = format!("/apis/{group}/{}", version.version);
            let Some(InVersion { resources }) = self.ask::<InVersion>(&path).await? else { continue };
            for &index in kinds {
                let kind = &KINDS[index];
                let Some(rank) = wanted(kind) else { continue };
                let better = found.get(&index).is_none_or(|known| {
                    kind.versions.iter().position(|version| version == known).is_none_or(|known| rank < known)
                });
                if better && resources.iter().any(|served| served.name == kind.plural) {
                    found.insert(index, kind.versions[rank]);
                }
            }
        }
        Ok(found)
    }

    /// None: it is not there.
    async fn ask<T: for<'de> Deserialize<'de>>(&self, path: &str) -> Result<Option<T>, Trouble> {
        let request = Request::get(path).body(Vec::new()).map_err(Trouble::other)?;
        let answer =
            timeout(WITHIN, self.client.request(request)).await.map_err(|_| Trouble::silent(WITHIN))?;
        match answer.map_err(Trouble::from) {
            Ok(answer) => Ok(Some(answer)),
            Err(trouble) if trouble.status == Some(404) => Ok(None),
            Err(trouble) => Err(trouble),
        }
    }

    /// Whether one of them is gone so suddenly that it may be back soon.
    fn tell(&self, kinds: &[usize], found: &HashMap<usize, &'static str>) -> bool {
        let mut suddenly = false;
        for kind in kinds.iter().filter(|kind| !found.contains_key(kind)) {
            if self.shared.lost_for(*kind) > GRACE {
                self.shared.not_installed(*kind);
            } else {
                suddenly = true;
            }
        }
        self.versions.send_if_modified(|versions| {
            found.iter().for_each(|(kind, version)| versions[*kind] = Some(*version));
            !found.is_empty()
        });
        suddenly
    }
}
