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
    /// Copy so many in a hundred.
    Share(u32),
    /// Copy the requests of so many connections in a million. The kernel's program draws them; the others are not the
    /// agent's.
    Sampled(u32),
    /// Copy all while somebody looks on in every way there is: the audit log, a tap, the dashboard.
    Watched,
    /// Copy all, to a shadow that takes a tenth of a second for each answer.
    Slow,
    /// Copy all, to an address whose packets vanish.
    BlackHole,
    /// Copy all, to a shadow that accepts and never reads.
    Silent,
    /// No copies; so many rules come before the one that applies.
    Rules(u32),
}

impl Way {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Umbra => "umbra",
            Self::Also => "umbra (also)",
            Self::Nginx | Self::Redirected => "nginx",
            Self::Envoy => "Envoy",
        }
    }
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

    /// Every request passes the proxy.
    pub(crate) fn reads_all(self) -> bool {
        !matches!(self.1, Setting::Sampled(_))
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = match self.0 {
            Way::Redirected => "nginx behind REDIRECT",
            way => way.name(),
        };
        match self.1 {
            Setting::Plain => write!(f, "{way}"),
            Setting::Mirror => write!(f, "{way} mirror"),
            Setting::MirrorEmpty => write!(f, "{way} mirror, empty answers"),
            Setting::Share(percent) => write!(f, "{way} mirror {percent} %"),
            Setting::Sampled(per_million) => {
                write!(f, "{way}, {} % of connections", f64::from(per_million) / 1e4)
            }
            Setting::Watched => write!(f, "{way} mirror, looked on"),
            Setting::Slow => write!(f, "{way} mirror, slow shadow"),
            Setting::BlackHole => write!(f, "{way} mirror, black hole"),
            Setting::Silent => write!(f, "{way} mirror, silent shadow"),
            Setting::Rules(count) => write!(f, "{way}, {count} rules"),
        }
    }
}
