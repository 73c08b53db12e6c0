//! The network namespaces whose connections the agent takes: what is wanted is held against what is enrolled, once a
//! second and whenever it changes. One that cannot be enrolled is a reason to be shown and is tried again; it keeps no
//! other from being captured, and ends nothing.

mod member;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use ipnet::IpNet;
use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet, spawn_blocking},
    time::{MissedTickBehavior, interval, sleep},
};
use tokio_util::sync::CancellationToken;

use super::{
    ending::LAST_HANDSHAKES,
    enrolled::{ENROLLED, Enrolled, FAILING, LEAVING, SAME, Standing},
    rules,
    workers::Hands,
};
use crate::{
    capture::{self, Direct, EnrolError, Enrolment, Identity, Inbound, WorkerListeners},
    config::umbra::{AgentConfig, NetnsRef},
    connection::Node,
};
use member::{Attended, Member, Question, Seen, State};

const EVERY: Duration = Duration::from_secs(1);
/// Namespaces that are enrolled at the same time: most of it is the kernel's work, and the apps need it too.
const AT_ONCE: usize = 4;
/// One that cannot be enrolled is tried again after this long at the latest.
const AFTER_AT_MOST: Duration = Duration::from_secs(60);
/// The same for one that is not there. Looking costs little.
const LOOK_AT_MOST: Duration = Duration::from_secs(4);

/// What is to be captured where. A reload, or whoever knows the pods of this node, changes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) namespaces: Vec<NetnsRef>,
    /// Sources whose connections are never captured.
    pub(super) exempt: Vec<IpNet>,
}

impl Wanted {
    /// The host's namespace, unless something else is named.
    pub(super) fn by(config: &AgentConfig) -> Self {
        let capture = &config.capture;
        let named = capture.inbound.iter().map(|inbound| inbound.netns.value.clone());
        let nothing = capture.inbound.is_empty() && capture.direct.is_empty();
        let namespaces = if nothing { vec![NetnsRef::Host] } else { named.collect() };
        Self { namespaces, exempt: capture.exempt.clone() }
    }
}

/// Opens the plain listeners.
///
/// # Errors
/// When an address cannot be listened on, or a data thread is gone.
pub(super) async fn listen_directly(config: &AgentConfig, hands: &Hands) -> anyhow::Result<()> {
    for direct in &config.capture.direct {
        let (listener, listeners) = Direct::listen(*direct.listen, direct.upstream, hands.count())
            .with_context(|| format!("{}: listen on {}", direct.listen.at, *direct.listen))?;
        hands.listen(listeners, &Arc::new(Inbound::Direct(listener))).await?;
    }
    Ok(())
}

/// Keeps what is enrolled as it is wanted.
pub(super) struct Reconciler {
    wanted: watch::Receiver<Wanted>,
    options: capture::Options,
    drain_timeout: Duration,
    node: Arc<Node>,
    hands: Hands,
    enrolled: Enrolled,
    /// One for each wanted namespace, in their order.
    members: Vec<Member>,
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
        Self {
            wanted,
            options,
            drain_timeout: config.drain_timeout,
            node: Arc::clone(node),
            hands,
            enrolled: enrolled.clone(),
            members: Vec::new(),
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
                "{why}\n`umbra doctor` tells what is missing here; plain listeners (capture.direct in AgentConfig) need no privilege"
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
        let exempt_changed = wanted.exempt != self.options.exempt;
        self.options.exempt = wanted.exempt;
        self.want(&wanted.namespaces);
        let seen = self.look().await;
        let (due, changed) = self.settle(seen);
        let new = self.enrol(due).await;
        self.tell(changed, new, exempt_changed).await;
        self.leaving.retain(|leaving| !leaving.task.is_finished());
        self.enrolled.publish(self.standings());
    }

    /// Makes the members those that are wanted; others are left.
    fn want(&mut self, wanted: &[NetnsRef]) {
        let mut before: HashMap<_, _> =
            self.members.drain(..).map(|member| (member.reference.clone(), member)).collect();
        let member =
            |reference: &NetnsRef| before.remove(reference).unwrap_or_else(|| Member::new(reference));
        let mut named = HashSet::new();
        self.members = wanted.iter().filter(|reference| named.insert(*reference)).map(member).collect();
        for Member { reference, state } in before.into_values() {
            if let State::Enrolled(attended) = state {
                self.leave(&reference, attended, "it is not wanted any more");
            }
        }
    }

    /// Looks for every namespace whose time has come.
    async fn look(&mut self) -> Vec<Seen> {
        let questions: Vec<_> = self.members.iter_mut().map(Member::question).collect();
        let count = questions.len();
        let answers = spawn_blocking(move || questions.into_iter().map(Question::answer).collect());
        answers.await.unwrap_or_else(|error| {
            tracing::error!(%error, "looking for namespaces panicked");
            (0..count).map(|_| Seen::NotNow).collect()
        })
    }

    /// Takes in what was seen: which members are to be enrolled now, and whose addresses have changed.
    fn settle(&mut self, seen: Vec<Seen>) -> (Vec<usize>, Vec<Arc<Enrolment>>) {
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
                    found.push((index, place.identity()));
                }
                (_, Seen::Nowhere(reason)) => {
                    lost.extend(member.lose("it is gone"));
                    let missing = EnrolError::Netns { name: member.reference.to_string(), reason };
                    member.fail(&missing, LOOK_AT_MOST);
                }
                (_, Seen::InMesh(error)) => {
                    lost.extend(member.lose("a mesh has come"));
                    member.fail(&error, AFTER_AT_MOST);
                }
                (_, Seen::NotNow | Seen::Still { .. }) => {}
            }
        }
        for (reference, attended, why) in lost {
            self.leave(&reference, attended, why);
        }
        let enrolled = self.members.iter().filter_map(|member| match &member.state {
            State::Enrolled(it) => Some((it.place.identity(), member.reference.clone())),
            _ => None,
        });
        let mut taken: HashMap<Identity, NetnsRef> = enrolled.collect();
        let mut due = Vec::new();
        for (index, identity) in found {
            let member = &mut self.members[index];
            match taken.get(&identity) {
                Some(first) => member.state = State::Same(first.clone()),
                None => {
                    taken.insert(identity, member.reference.clone());
                    due.push(index);
                }
            }
        }
        (due, changed)
    }

    /// Enrols these members; returns those that are.
    async fn enrol(&mut self, due: Vec<usize>) -> Vec<Arc<Enrolment>> {
        let (mut due, mut enrolling, mut new) = (due.into_iter(), JoinSet::new(), Vec::new());
        let options = Arc::new(self.options.clone());
        loop {
            while enrolling.len() < AT_ONCE
                && let Some(index) = due.next()
            {
                let (reference, options) = (self.members[index].reference.clone(), Arc::clone(&options));
                enrolling.spawn_blocking(move || (index, Enrolment::enrol(&reference, &options)));
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
        let attendance = match self.hands.listen(listeners, &inbound).await {
            Ok(attendance) => attendance,
            Err(error) => {
                tracing::error!(netns = enrolment.name(), "not captured: {error:#}");
                return None;
            }
        };
        for note in enrolment.notes() {
            tracing::warn!(netns = enrolment.name(), "{note}");
        }
        tracing::info!(netns = enrolment.name(), "enrolled");
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
            rules::capture_in(&node, &enrolled, || [changed, new].concat())
        });
        match told.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!("{error:#}"),
            Err(error) => tracing::error!(%error, "telling the kernel what to capture panicked"),
        }
    }

    /// New connections go to the app from now on; those that are open may end by themselves.
    fn leave(&mut self, reference: &NetnsRef, attended: Attended, why: &'static str) {
        let Attended { enrolment, attendance, .. } = attended;
        let netns = reference.to_string();
        tracing::info!(netns, "left: {why}");
        let standing = Standing {
            netns,
            state: LEAVING,
            why: Some(why.to_owned()),
            enrolment: Some((Arc::clone(&enrolment), attendance.connections.clone())),
        };
        let (enrolled, deadline) = (self.enrolled.clone(), self.drain_timeout);
        let task = tokio::spawn(async move {
            enrolment.hand_back();
            sleep(LAST_HANDSHAKES).await;
            let cut = attendance.end(deadline).await;
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
        let members = self.members.iter().map(|Member { reference, state }| {
            let netns = reference.to_string();
            match state {
                State::Enrolled(Attended { enrolment, attendance, .. }) => {
                    let enrolment = Some((Arc::clone(enrolment), attendance.connections.clone()));
                    Standing { netns, state: ENROLLED, why: None, enrolment }
                }
                State::Failing(failure) => {
                    Standing { netns, state: FAILING, why: Some(failure.why.clone()), enrolment: None }
                }
                State::Same(first) => {
                    let why = Some(format!("{first} leads to the same namespace"));
                    Standing { netns, state: SAME, why, enrolment: None }
                }
            }
        });
        members.chain(self.leaving.iter().map(|leaving| leaving.standing.clone())).collect()
    }
}
