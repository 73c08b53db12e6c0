//! Whether there is room for more. When file descriptors, memory or the kernel's own buffers run out, copies are dropped
//! first, then new connections are left to the apps; those that are open go on. Asked with every beat of the heart, woken
//! in between by whoever meets an end; it comes back by itself.

use std::{
    io,
    os::fd::RawFd,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicI32, Ordering::Relaxed},
    },
    thread::Thread,
    time::{Duration, Instant},
};

use nix::libc::{EMFILE, ENFILE, ENOBUFS, ENOMEM};

use crate::{
    process::{Usage, descriptors, memory::Memory},
    shadow::Plane,
};

/// How long nothing more is taken after a connection could not be accepted for want of something.
const AFTER_A_REFUSAL: Duration = Duration::from_secs(1);

/// How often descriptors are counted where the kernel does not tell their number.
const COUNT_EVERY: Duration = Duration::from_secs(1);

/// Descriptors that stay free at least, for what comes in while the kernel is told.
const SPARE_DESCRIPTORS: u64 = 256;

/// Why new connections are left to the apps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// Open files come near their limit.
    Descriptors,
    /// Memory comes near the limit of a control group.
    Memory,
    /// A connection could not be accepted: the machine has no file, buffer or memory for it.
    Accept,
    /// Connections to some app use up the ports they can come from; of one namespace, not of all.
    Ports,
}

/// From room enough to none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    #[default]
    Ample,
    /// No more copies.
    Scarce,
    /// No more connections either.
    Full,
}

/// Shared by the heart, who asks, the data threads, who meet the ends, and the metrics.
pub(super) struct Pressure {
    plane: Arc<Plane>,
    memory: Option<Memory>,
    /// A descriptor with this number or a higher one is among the last: the kernel gives the lowest that is free.
    last_descriptors: AtomicI32,
    /// The last ones are being used.
    reached: AtomicBool,
    /// Something was missing when a connection was to be accepted.
    refused: AtomicBool,
    heart: OnceLock<Thread>,
    shed: [AtomicBool; Reason::ALL.len()],
    levels: Mutex<Levels>,
}

#[derive(Debug, Default)]
struct Levels {
    descriptors: Level,
    memory: Level,
    /// Of descriptors, where they had to be counted one by one.
    counted: Option<(Instant, u64)>,
    refused_at: Option<Instant>,
}

impl Reason {
    const ALL: [Self; 4] = [Self::Descriptors, Self::Memory, Self::Accept, Self::Ports];

    /// The value of the metric's `reason` label.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Descriptors => "descriptors",
            Self::Memory => "memory",
            Self::Accept => "accept",
            Self::Ports => "ports",
        }
    }

    /// For the log.
    pub(super) fn tell(self) -> &'static str {
        match self {
            Self::Descriptors => "file descriptors run out (RLIMIT_NOFILE)",
            Self::Memory => "memory comes near the limit of the agent's control group",
            Self::Accept => "the kernel has no file, buffer or memory for a connection",
            Self::Ports => "local ports to reach an app from run out (ip_local_port_range)",
        }
    }
}

impl Level {
    /// `margin` must stay free; twice as much is needed to come back, and before copies are dropped.
    fn next(self, usage: Usage, margin: u64) -> Self {
        let free = usage.limit.saturating_sub(usage.used);
        let keeps = |least: u64| free < margin.saturating_mul(least);
        match self {
            _ if keeps(1) => Self::Full,
            Self::Full if keeps(2) => Self::Full,
            _ if keeps(2) => Self::Scarce,
            Self::Scarce | Self::Full if keeps(3) => Self::Scarce,
            _ => Self::Ample,
        }
    }
}

impl Pressure {
    pub(super) fn new(plane: &Arc<Plane>) -> Self {
        Self {
            plane: Arc::clone(plane),
            memory: Memory::own(),
            last_descriptors: AtomicI32::new(i32::MAX),
            reached: AtomicBool::new(false),
            refused: AtomicBool::new(false),
            heart: OnceLock::new(),
            shed: Default::default(),
            levels: Mutex::default(),
        }
    }

    /// The thread to wake when an end is met.
    pub(super) fn wakes(&self, heart: Thread) {
        // There is one heart.
        let _ = self.heart.set(heart);
    }

    /// A connection was accepted under this number. False when that is one of the last, which a burst reaches between two
    /// beats: then where it came from is to be told at once.
    pub(super) fn accepted(&self, descriptor: RawFd) -> bool {
        let room = descriptor < self.last_descriptors.load(Relaxed);
        if !room {
            self.raise(&self.reached);
        }
        room
    }

    /// A connection could not be accepted. False when that says nothing of the room there is.
    pub(super) fn refused(&self, error: &io::Error) -> bool {
        let missing = matches!(error.raw_os_error(), Some(EMFILE | ENFILE | ENOBUFS | ENOMEM));
        if missing {
            self.raise(&self.refused);
        }
        missing
    }

    fn raise(&self, alarm: &AtomicBool) {
        if !alarm.swap(true, Relaxed)
            && let Some(heart) = self.heart.get()
        {
            heart.unpark();
        }
    }

    /// Looks at everything once, and tells the shadow plane. Why nothing more may be captured, if so.
    pub(super) fn weigh(&self) -> Option<Reason> {
        let now = Instant::now();
        let mut levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        let reached = self.reached.swap(false, Relaxed);
        if self.refused.swap(false, Relaxed) {
            levels.refused_at = Some(now);
        }

        let (descriptors, margin) = self.descriptors(&mut levels, now, reached);
        levels.descriptors = levels.descriptors.next(descriptors, margin);
        let memory = self.memory.as_ref().and_then(Memory::usage);
        levels.memory = memory.map_or(Level::Ample, |usage| levels.memory.next(usage, usage.limit / 10));
        if levels.memory > Level::Ample {
            // What was freed goes back to the system: that is how it becomes ample again.
            super::memory::give_back();
        }
        let refused = levels.refused_at.is_some_and(|at| now.duration_since(at) < AFTER_A_REFUSAL);

        let scarce = levels.descriptors.max(levels.memory) > Level::Ample || refused;
        self.plane.make_room(scarce);
        let full = [
            (Reason::Descriptors, levels.descriptors == Level::Full),
            (Reason::Memory, levels.memory == Level::Full),
            (Reason::Accept, refused),
        ];
        for (reason, full) in full {
            self.show(reason, full);
        }
        full.into_iter().find_map(|(reason, full)| full.then_some(reason))
    }

    /// How many are used, and how many should stay free.
    fn descriptors(&self, levels: &mut Levels, now: Instant, reached: bool) -> (Usage, u64) {
        let limit = descriptors::limit();
        let margin = (limit / 10).max(SPARE_DESCRIPTORS).min(limit / 8);
        let last = i32::try_from(limit.saturating_sub(margin)).unwrap_or(i32::MAX);
        self.last_descriptors.store(last, Relaxed);
        // Copies that were accepted still look for connections.
        descriptors::keep_for_primaries(limit.saturating_sub(margin.saturating_mul(2)));
        let used = descriptors::told().unwrap_or_else(|| match levels.counted {
            Some((at, count)) if !reached && now.duration_since(at) < COUNT_EVERY => count,
            _ => {
                let count = descriptors::counted();
                levels.counted = Some((now, count));
                count
            }
        });
        (Usage { used, limit }, margin)
    }

    /// For the metrics: whether connections are left to apps for this reason.
    pub(super) fn show(&self, reason: Reason, shed: bool) {
        self.shed[reason as usize].store(shed, Relaxed);
    }

    /// Every reason, and whether connections are left to apps for it.
    pub(super) fn shown(&self) -> impl Iterator<Item = (Reason, bool)> {
        Reason::ALL.into_iter().map(|reason| (reason, self.shed[reason as usize].load(Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_go_first_and_what_was_left_comes_back_only_with_room_to_spare() {
        let mut level = Level::Ample;
        let course = [
            (700, Level::Ample),
            (799, Level::Ample),
            (801, Level::Scarce),
            (750, Level::Scarce),
            (899, Level::Scarce),
            (901, Level::Full),
            (850, Level::Full),
            (801, Level::Full),
            (799, Level::Scarce),
            (701, Level::Scarce),
            (700, Level::Ample),
            (2000, Level::Full),
            (0, Level::Ample),
        ];
        for (used, expected) in course {
            level = level.next(Usage { used, limit: 1000 }, 100);
            assert_eq!(level, expected, "at {used}");
        }
    }
}
