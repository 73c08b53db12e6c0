//! What is measured: a way from the client to the app, and what that way is told to do.

use std::fmt;

/// Who stands between the client and the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Way {
    /// Nobody: the limit.
    Direct,
    Umbra,
    /// Another build of umbra, given with `--also`.
    Also,
    /// nginx as a proxy, tuned as its own guides say.
    Nginx,
    /// The same where clients do not dial it: the kernel's REDIRECT leads the app's port to it, as it does in a mesh.
    Redirected,
    Envoy,
}

/// What it is told to do with the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Setting {
    /// No copies. umbra has a rule that mirrors other requests: else the port would not be captured.
    Plain,
    /// Copy all, to a shadow that answers as the app does.
    Mirror,
    /// Copy all, to a shadow that answers without a body: nginx then keeps its connections to it.
    MirrorEmpty,
    /// Copy all, to an address whose packets vanish.
    BlackHole,
    /// Copy all, to a shadow that accepts and never reads.
    Silent,
    /// No copies; so many rules come before the one that applies.
    Rules(u32),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Case(pub(crate) Way, pub(crate) Setting);

pub(crate) const DIRECT: Case = Case(Way::Direct, Setting::Plain);

impl Case {
    /// The same with another build of umbra; None where umbra is not in it.
    pub(crate) fn of_other_build(self) -> Option<Self> {
        (self.0 == Way::Umbra).then_some(Self(Way::Also, self.1))
    }

    pub(crate) fn is_umbra(self) -> bool {
        matches!(self.0, Way::Umbra | Way::Also)
    }

    /// Copies end soon after their requests.
    pub(crate) fn shadow_lives(self) -> bool {
        !matches!(self.1, Setting::BlackHole | Setting::Silent)
    }

    pub(crate) fn mirrors(self) -> bool {
        !matches!(self.1, Setting::Plain | Setting::Rules(_))
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = match self.0 {
            Way::Direct => return f.write_str("direct"),
            Way::Umbra => "umbra",
            Way::Also => "umbra (also)",
            Way::Nginx => "nginx",
            Way::Redirected => "nginx behind REDIRECT",
            Way::Envoy => "Envoy",
        };
        match self.1 {
            Setting::Plain => write!(f, "{way}"),
            Setting::Mirror => write!(f, "{way} mirror"),
            Setting::MirrorEmpty => write!(f, "{way} mirror, empty answers"),
            Setting::BlackHole => write!(f, "{way} mirror, black hole"),
            Setting::Silent => write!(f, "{way} mirror, silent shadow"),
            Setting::Rules(count) => write!(f, "{way}, {count} rules"),
        }
    }
}
