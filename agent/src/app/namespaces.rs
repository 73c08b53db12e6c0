//! The network namespaces whose connections the agent takes: what is wanted is held against what is enrolled, once a
//! second and whenever it changes. One that cannot be enrolled is a reason to be shown and is tried again; it keeps no
//! other from being captured, and ends nothing.

mod exempt;
mod member;
mod wanted;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::bail;
use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet, spawn_blocking},
    time::{MissedTickBehavior, interval, sleep},
};
use tokio_util::sync::CancellationToken;

use super::{
    ending::{self, LAST_HANDSHAKES},
    enrolled::{ENROLLED, Enrolled, FAILING, LEAVING, SAME, SKIPPED, Standing},
    pods::Skipped,
    rules,
    workers::Hands,
};
use crate::{
    capture::{self, EnrolError, Enrolment, Identity, Inbound, Place, Pods, WorkerListeners},
    config::umbra::{AgentConfig, NetnsRef},
    connection::Node,
};
use exempt::Exempt;
use member::{Attended, Lost, Member, Seen, State};
pub(super) use wanted::{Wanted, Wish};

const EVERY: Duration = Duration::from_secs(1);
/// Namespaces that are enrolled at the same time: most of it is the kernel's work, and the apps need it too.
const AT_ONCE: usize = 4;
/// One that cannot be enrolled is tried again after this long at the latest.
const AFTER_AT_MOST: Duration = Duration::from_secs(60);
/// The same for one that is not there. Looking costs little.
const LOOK_AT_MOST: Duration = Duration::from_secs(4);

/// Keeps what is enrolled as it is wanted.
pub(super) struct Reconciler {
    wanted: watch::Receiver<Wanted>,
    /// Who knows pods' networks best, where it is configured.
    runtime: Option<Arc<capture::Runtime>>,
    exempt: Exempt,
    options: capture::Options,
    drain_timeout: Duration,
    node: Arc<Node>,
    hands: Hands,
    enrolled: Enrolled,
    /// One for each wanted namespace, in their order.
    members: Vec<Member>,
    /// Pods that are not to be enrolled, though somebody wants it.
    skipped: Vec<Skipped>,
    leaving: Vec<Leaving>,
}

/// A namespace whose last connections end.
struct Leaving {
    standing: Standing,
    task: JoinHandle<()>,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Reconciler {
    pub(super) fn new(
        config: &AgentConfig,
        wanted: watch::Receiver<Wanted>,
        node: &Arc<Node>,
        hands: Hands,
        enrolled: &Enrolled,
    ) -> Self {
        let options = capture::Options {
            workers: hands.count(),
            exempt: Vec::new(),
            client_address: config.capture.client_address,
            seed: node.seed,
        };
        let runtime = config.capture.cri_socket.clone().map(capture::Runtime::at);
        Self {
            wanted,
            runtime: runtime.map(Arc::new),
            exempt: Exempt::default(),
            options,
            drain_timeout: config.drain_timeout,
            node: Arc::clone(node),
            hands,
            enrolled: enrolled.clone(),
            members: Vec::new(),
            skipped: Vec::new(),
            leaving: Vec::new(),
        }
    }

    /// The first look at every namespace.
    ///
    /// # Errors
    /// When none can be enrolled, for a reason that lies with the agent or the kernel.
    pub(super) async fn begin(&mut self) -> anyhow::Result<()> {
        self.pass().await;
        let hopeless = |member: &Member| match &member.state {
            State::Failing(failure) if failure.everywhere => Some(failure.why.clone()),
            _ => None,
        };
        let mut hopeless = self.members.iter().map(hopeless).collect::<Option<Vec<_>>>().unwrap_or_default();
        if let Some(why) = hopeless.pop() {
            bail!(
                "{why}; `umbra doctor` tells what this machine allows, and plain listeners in front of the apps \
                 (spec.capture.direct) need no privileges"
            );
        }
        Ok(())
    }

    /// Goes on until `stop`. A look that has begun ends first.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut second = interval(EVERY);
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased; // After the word to stop nothing more is enrolled.
                () = stop.cancelled() => return,
                Ok(()) = self.wanted.changed() => {}
                _ = second.tick() => {}
            }
            self.pass().await;
        }
    }

    async fn pass(&mut self) {
        let wanted = self.wanted.borrow_and_update().clone();
        let exempt = self.exempt.sources(&wanted).await;
        let exempt_changed = exempt != self.options.exempt;
        self.options.exempt = exempt;
        self.want(wanted.namespaces);
        self.skipped = wanted.skipped;
        let seen = self.look().await;
        let (due, changed) = self.settle(seen);
        let new = self.enrol(due).await;
        self.tell(changed, new, exempt_changed).await;
        self.leaving.retain(|leaving| !leaving.task.is_finished());
        self.enrolled.publish(self.standings());
    }

    /// Makes the members those that are wanted; others are left.
    fn want(&mut self, wanted: Vec<Wish>) {
        let mut before: HashMap<_, _> =
            self.members.drain(..).map(|member| (member.wish.netns.clone(), member)).collect();
        let mut named = HashSet::new();
        for wish in wanted.into_iter().filter(|wish| named.insert(wish.netns.clone())) {
            self.members.push(match before.remove(&wish.netns) {
                Some(member) => Member { wish, ..member },
                None => Member::new(wish),
            });
        }
        for mut member in before.into_values() {
            if let Some(lost) = member.lose("it is not wanted any more") {
                self.leave(lost);
            }
        }
    }

    /// Looks for every namespace whose time has come.
    async fn look(&mut self) -> Vec<Seen> {
        let questions: Vec<_> = self.members.iter_mut().map(Member::question).collect();
        let (count, runtime) = (questions.len(), self.runtime.clone());
        let answers = spawn_blocking(move || {
            // Looked for once for all of them, and not at all while each is where it was.
            let mut pods = Pods::by(runtime);
            questions.into_iter().map(|question| question.answer(&mut pods)).collect()
        });
        answers.await.unwrap_or_else(|error| {
            tracing::error!(%error, "looking for namespaces panicked");
            (0..count).map(|_| Seen::NotNow).collect()
        })
    }

    /// Takes in what was seen: which members are to be enrolled now and where, and whose addresses have changed.
    fn settle(&mut self, seen: Vec<Seen>) -> (Vec<(usize, Place)>, Vec<Arc<Enrolment>>) {
        let (mut found, mut lost, mut changed) = (Vec::new(), Vec::new(), Vec::new());
        for (index, (member, seen)) in self.members.iter_mut().zip(seen).enumerate() {
            match (&mut member.state, seen) {
                (State::Enrolled(it), Seen::Still { new_addresses: true }) => {
                    changed.push(Arc::clone(&it.enrolment));
                }
                // A pod may be found through another of its processes.
                (State::Enrolled(it), Seen::At(place)) if place.identity() == it.place.identity() => {
                    it.place = place;
                }
                (_, Seen::At(place)) => {
                    lost.extend(member.lose("another namespace has taken its place"));
                    found.push((index, place));
                }
                (_, Seen::Nowhere(reason)) => {
                    lost.extend(member.lose("it is gone"));
                    let missing = EnrolError::Netns { name: member.wish.netns.to_string(), reason };
                    member.fail(&missing, LOOK_AT_MOST);
                }
                (_, Seen::InMesh(error)) => {
                    lost.extend(member.lose("a mesh has come"));
                    member.fail(&error, AFTER_AT_MOST);
                }
                (_, Seen::NotNow | Seen::Still { .. }) => {}
            }
        }
        lost.into_iter().for_each(|lost| self.leave(lost));
        let enrolled = self.members.iter().filter_map(|member| match &member.state {
            State::Enrolled(it) => Some((it.place.identity(), member.wish.netns.clone())),
            _ => None,
        });
        let mut taken: HashMap<Identity, NetnsRef> = enrolled.collect();
        let mut due = Vec::new();
        for (index, place) in found {
            let member = &mut self.members[index];
            match taken.get(&place.identity()) {
                Some(first) => member.state = State::Same(first.clone()),
                None => {
                    taken.insert(place.identity(), member.wish.netns.clone());
                    due.push((index, place));
                }
            }
        }
        (due, changed)
    }

    /// Enrols these members; returns those that are.
    async fn enrol(&mut self, due: Vec<(usize, Place)>) -> Vec<Arc<Enrolment>> {
        let (mut due, mut enrolling, mut new) = (due.into_iter(), JoinSet::new(), Vec::new());
        let options = Arc::new(self.options.clone());
        loop {
            while enrolling.len() < AT_ONCE
                && let Some((index, place)) = due.next()
            {
                let (netns, options) = (self.members[index].wish.netns.clone(), Arc::clone(&options));
                enrolling.spawn_blocking(move || (index, Enrolment::enrol_at(&netns, place, &options)));
            }
            let Some(joined) = enrolling.join_next().await else { return new };
            match joined {
                Ok((index, Ok((enrolment, listeners)))) => {
                    new.extend(self.attend(index, enrolment, listeners).await);
                }
                Ok((index, Err(error))) => self.members[index].fail(&error, AFTER_AT_MOST),
                // Its member is tried again a second later.
                Err(error) => tracing::error!(%error, "enrolling a namespace panicked"),
            }
        }
    }

    async fn attend(
        &mut self,
        index: usize,
        enrolment: Arc<Enrolment>,
        listeners: Vec<WorkerListeners>,
    ) -> Option<Arc<Enrolment>> {
        let inbound = Arc::new(Inbound::Enrolled(Arc::clone(&enrolment)));
        let member = &mut self.members[index];
        let pod = member.wish.pod();
        let attendance = match self.hands.listen(listeners, &inbound).await {
            Ok(attendance) => attendance,
            Err(error) => {
                tracing::error!(netns = enrolment.name(), pod, "not captured: {error:#}");
                return None;
            }
        };
        for note in enrolment.notes() {
            tracing::warn!(netns = enrolment.name(), pod, "{note}");
        }
        tracing::info!(netns = enrolment.name(), pod, "enrolled");
        self.enrolled.add(Arc::clone(&enrolment));
        let place = enrolment.place().clone();
        let asked = Instant::now();
        member.state =
            State::Enrolled(Attended { enrolment: Arc::clone(&enrolment), attendance, place, asked });
        Some(enrolment)
    }

    /// Tells the kernel what to capture where something has changed.
    async fn tell(&self, changed: Vec<Arc<Enrolment>>, new: Vec<Arc<Enrolment>>, exempt_changed: bool) {
        if changed.is_empty() && new.is_empty() && !exempt_changed {
            return;
        }
        let (node, enrolled) = (Arc::clone(&self.node), self.enrolled.clone());
        let exempt = exempt_changed.then(|| self.options.exempt.clone());
        let told = spawn_blocking(move || {
            if let Some(exempt) = exempt {
                for enrolment in enrolled.all() {
                    if let Err(error) = enrolment.exempt(&exempt) {
                        tracing::error!(netns = enrolment.name(), %error, "capture.exempt is not as configured");
                    }
                }
            }
            let captured = rules::capture_in(&node, &enrolled, || [changed, new.clone()].concat());
            // The heart has its time. A connection that comes before its first beat here meets the app for as long as it lasts.
            for enrolment in new {
                if let Err(error) = enrolment.beat() {
                    tracing::debug!(netns = enrolment.name(), %error, "the first beat has to wait for the next");
                }
            }
            captured
        });
        match told.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!("{error:#}"),
            Err(error) => tracing::error!(%error, "telling the kernel what to capture panicked"),
        }
    }

    /// New connections go to the app from now on; those that are open end as when the whole agent stops, so that their
    /// clients come to the app too.
    fn leave(&mut self, Lost { wish, attended, why }: Lost) {
        let Attended { enrolment, attendance, .. } = attended;
        tracing::info!(netns = %wish.netns, pod = wish.pod(), "left: {why}");
        let standing = Standing {
            netns: wish.netns.to_string(),
            pod: wish.pod,
            state: LEAVING,
            why: Some(why.to_owned()),
            enrolment: Some((Arc::clone(&enrolment), attendance.connections.clone())),
        };
        let (enrolled, deadline) = (self.enrolled.clone(), self.drain_timeout);
        let task = tokio::spawn(async move {
            enrolment.hand_back();
            let leaving = Arc::clone(&attendance.leaving);
            leaving.begin();
            sleep(LAST_HANDSHAKES).await;
            let cut = ending::with_last_call(deadline, &leaving, attendance.end(deadline)).await;
            let name = enrolment.name().to_owned();
            let withdrawn = spawn_blocking(move || {
                let withdrawn = enrolment.withdraw();
                enrolled.remove(&enrolment);
                withdrawn
            });
            match withdrawn.await {
                Ok(Ok(())) => tracing::info!(netns = name, connections_cut = cut, "withdrawn"),
                Ok(Err(error)) => tracing::error!(netns = name, %error, "not everything could be restored"),
                Err(error) => tracing::error!(netns = name, %error, "withdrawing panicked"),
            }
        });
        self.leaving.push(Leaving { standing, task });
    }

    fn standings(&self) -> Vec<Standing> {
        let members = self.members.iter().map(|Member { wish, state }| {
            let (state, why, enrolment) = match state {
                State::Enrolled(Attended { enrolment, attendance, .. }) => {
                    let enrolment = (Arc::clone(enrolment), attendance.connections.clone());
                    (ENROLLED, None, Some(enrolment))
                }
                State::Failing(failure) => (FAILING, Some(failure.why.clone()), None),
                State::Same(first) => (SAME, Some(format!("{first} leads to the same namespace")), None),
            };
            Standing { netns: wish.netns.to_string(), pod: wish.pod.clone(), state, why, enrolment }
        });
        let skipped = self.skipped.iter().map(|Skipped { pod, netns, why }| Standing {
            netns: netns.clone(),
            pod: Some(pod.clone()),
            state: SKIPPED,
            why: Some(why.clone()),
            enrolment: None,
        });
        let leaving = self.leaving.iter().map(|leaving| leaving.standing.clone());
        members.chain(leaving).chain(skipped).collect()
    }
}
