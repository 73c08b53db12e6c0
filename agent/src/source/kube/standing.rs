//! How far what is known can be trusted: for each kind whether it is followed, since when not, and why. What was known stays
//! known while the server is away.

use std::time::{Duration, Instant};

/// How one kind is followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// It has not been listed yet.
    #[default]
    Listing,
    /// Every change is heard of.
    Following,
    /// The server cannot be asked: what is known is as old as the state.
    Away,
    /// The server has no such kind.
    NotInstalled,
    /// The agent may not ask for it.
    Forbidden,
}

#[derive(Clone, Debug)]
pub(super) struct Standing {
    pub(super) state: State,
    pub(super) since: Instant,
    pub(super) why: Option<String>,
    /// The last word of the server.
    pub(super) heard: Option<Instant>,
    pub(super) version: Option<&'static str>,
}

impl Default for Standing {
    fn default() -> Self {
        Self { state: State::Listing, since: Instant::now(), why: None, heard: None, version: None }
    }
}

impl State {
    /// Stable.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Listing => "listing",
            Self::Following => "following",
            Self::Away => "away",
            Self::NotInstalled => "notInstalled",
            Self::Forbidden => "forbidden",
        }
    }
}

impl Standing {
    pub(super) fn turn(&mut self, state: State, why: Option<String>) {
        // What was never listed is not out of date, but unknown; and what is not there does not go away.
        let state = match (self.state, state) {
            (unknown @ (State::Listing | State::NotInstalled), State::Away) => unknown,
            (_, state) => state,
        };
        if self.state != state {
            (self.state, self.since) = (state, Instant::now());
        }
        if state == State::Following {
            self.heard = Some(Instant::now());
        }
        self.why = why;
    }

    /// How old what is known is: since the last word while the server is away, else nothing.
    pub(super) fn age(&self) -> Duration {
        match (self.state, self.heard) {
            (State::Away, Some(heard)) => heard.elapsed(),
            _ => Duration::ZERO,
        }
    }
}
