//! One wanted namespace: how it stands, and what is seen when it is looked at.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{super::workers::Attendance, wanted::Wish};
use crate::{
    capture::{EnrolError, Enrolment, Place, Pods},
    config::umbra::NetnsRef,
};

/// Until one that failed is tried again: this long, then twice that, and so on.
const AFTER: Duration = Duration::from_secs(1);
/// Whether a mesh has come is asked this often of a namespace that is enrolled.
const MESH_EVERY: Duration = Duration::from_secs(5);

pub(super) struct Member {
    pub(super) wish: Wish,
    pub(super) state: State,
}

pub(super) enum State {
    Enrolled(Attended),
    /// Or not tried yet.
    Failing(Failure),
    /// Another reference leads to the same namespace.
    Same(NetnsRef),
}

pub(super) struct Attended {
    pub(super) enrolment: Arc<Enrolment>,
    pub(super) attendance: Attendance,
    /// Where it was last seen.
    pub(super) place: Place,
    /// When it was last asked for a mesh.
    pub(super) asked: Instant,
}

pub(super) struct Failure {
    pub(super) why: String,
    /// Would be met in any other namespace too.
    pub(super) everywhere: bool,
    tries: u32,
    again: Instant,
}

/// What was enrolled and is to be left.
pub(super) struct Lost {
    pub(super) wish: Wish,
    pub(super) attended: Attended,
    pub(super) why: &'static str,
}

impl Member {
    pub(super) fn new(wish: Wish) -> Self {
        Self { wish, state: State::untried() }
    }

    pub(super) fn question(&mut self) -> Question {
        let reference = self.wish.netns.clone();
        match &mut self.state {
            State::Enrolled(it) => {
                let mesh = it.asked.elapsed() > MESH_EVERY;
                if mesh {
                    it.asked = Instant::now();
                }
                let (place, enrolment) = (it.place.clone(), Arc::clone(&it.enrolment));
                Question::Still { reference, place, enrolment, mesh }
            }
            State::Failing(failure) if failure.again > Instant::now() => Question::Nothing,
            State::Failing(_) | State::Same(_) => Question::Where(reference),
        }
    }

    /// What is to be left, where it was enrolled.
    pub(super) fn lose(&mut self, why: &'static str) -> Option<Lost> {
        if !matches!(self.state, State::Enrolled(_)) {
            return None;
        }
        match std::mem::replace(&mut self.state, State::untried()) {
            State::Enrolled(attended) => Some(Lost { wish: self.wish.clone(), attended, why }),
            _ => None,
        }
    }

    pub(super) fn fail(&mut self, error: &EnrolError, after_at_most: Duration) {
        let why = error.to_string();
        let (tries, said) = match &self.state {
            State::Failing(failure) => (failure.tries + 1, failure.why == why),
            _ => (1, false),
        };
        let (netns, pod) = (&self.wish.netns, self.wish.pod());
        if self.wish.is_ending() {
            tracing::debug!(%netns, pod, "not captured: {why}");
        } else if !said {
            tracing::warn!(%netns, pod, "not captured, and tried again: {why}");
        }
        let after = AFTER.saturating_mul(1 << (tries - 1).min(10)).min(after_at_most);
        let again = Instant::now() + after;
        self.state = State::Failing(Failure { why, everywhere: error.is_everywhere(), tries, again });
    }
}

impl State {
    fn untried() -> Self {
        let why = "not tried yet".to_owned();
        Self::Failing(Failure { why, everywhere: false, tries: 0, again: Instant::now() })
    }
}

/// What is to be found out of a member; asked on a thread that may wait.
pub(super) enum Question {
    Nothing,
    /// Where is it?
    Where(NetnsRef),
    /// Is it still there, and what has changed?
    Still {
        reference: NetnsRef,
        place: Place,
        enrolment: Arc<Enrolment>,
        mesh: bool,
    },
}

/// What became of looking for a namespace.
pub(super) enum Seen {
    /// It is not time yet.
    NotNow,
    /// Where it was.
    Still {
        new_addresses: bool,
    },
    At(Place),
    /// Where it was, but a mesh has come.
    InMesh(EnrolError),
    Nowhere(io::Error),
}

impl Question {
    pub(super) fn answer(self, pods: &mut Pods) -> Seen {
        match self {
            Self::Nothing => Seen::NotNow,
            Self::Where(reference) => Place::of(&reference, pods).map_or_else(Seen::Nowhere, Seen::At),
            Self::Still { place, enrolment, mesh, .. } if place.holds() => {
                if let Some(error) = mesh.then(|| enrolment.mesh()).flatten() {
                    return Seen::InMesh(error);
                }
                let new_addresses = enrolment.has_new_addresses().unwrap_or_else(|error| {
                    tracing::warn!(netns = enrolment.name(), %error, "its addresses cannot be read");
                    false
                });
                Seen::Still { new_addresses }
            }
            Self::Still { reference, .. } => Self::Where(reference).answer(pods),
        }
    }
}
