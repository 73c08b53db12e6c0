//! Whether a new connection goes to the agent. Pure: the maps and the clock are behind [`View`].

use umbra_common::{
    Address, Endpoint, HEARTBEAT_LIMIT, MILLION, RESERVED_V4, RESERVED_V6, SHED, Seed, Verdict, admits,
};

/// A connection that matched no established socket.
pub(crate) struct Lookup {
    pub(crate) tcp: bool,
    /// Who connects.
    pub(crate) source: Endpoint,
    /// The address dialled.
    pub(crate) destination: Endpoint,
}

/// What the maps hold, and the time. Nanoseconds of the kernel's monotonic clock.
pub(crate) trait View {
    /// The share of connections to capture there, in millionths; None when nothing is captured.
    fn captured(&self, destination: &Endpoint) -> Option<u32>;
    fn exempt(&self, source: &Address) -> bool;
    fn bypassed(&self, source: &Endpoint) -> bool;
    /// None when the app was never found missing.
    fn released_until(&self, destination: &Endpoint) -> Option<u64>;
    /// 0 before the first one and while the agent hangs; [`SHED`] while it has no room.
    fn last_beat(&self) -> u64;
    fn now(&self) -> u64;
    fn seed(&self) -> Seed;
}

/// None for a connection to hand to the agent; else why it is left to the kernel.
#[inline(always)]
pub(crate) fn pass(lookup: &Lookup, view: &impl View) -> Option<Verdict> {
    if !lookup.tcp {
        return Some(Verdict::NotTcp);
    }
    if reserved(&lookup.destination.address) || reserved(&lookup.source.address) {
        return Some(Verdict::Reserved);
    }
    let anywhere = Endpoint { address: Address::ANY, port: lookup.destination.port };
    let Some(share) = view.captured(&lookup.destination).or_else(|| view.captured(&anywhere)) else {
        return Some(Verdict::NotCaptured);
    };
    if view.bypassed(&lookup.source) {
        return Some(Verdict::Bypass);
    }
    if view.exempt(&lookup.source.address) {
        return Some(Verdict::Exempt);
    }
    let now = view.now();
    // A beat may be written after `now` was read: the difference saturates to zero, a living agent.
    let beat = view.last_beat();
    if beat == SHED {
        return Some(Verdict::Shed);
    }
    if beat == 0 || now.saturating_sub(beat) > HEARTBEAT_LIMIT {
        return Some(Verdict::Stale);
    }
    if view.released_until(&lookup.destination).is_some_and(|until| now < until) {
        return Some(Verdict::Released);
    }
    // Last, so that what is counted here would have been captured. Most ports are captured whole: no draw for those.
    if share < MILLION && !admits(share, view.seed().draw(&lookup.source, &lookup.destination)) {
        return Some(Verdict::Unsampled);
    }
    None
}

/// Known without a map, so nothing the agent forgets can send its own connections round in circles.
#[inline(always)]
fn reserved(address: &Address) -> bool {
    *address == Address::v4(RESERVED_V4.octets()) || *address == Address(RESERVED_V6.octets())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A namespace that captures 10.0.0.1:8080 and, of so many connections, port 9000 everywhere; with an agent alive.
    #[derive(Default)]
    struct Maps {
        share: u32,
        exempt: bool,
        bypassed: bool,
        released_until: Option<u64>,
        last_beat: u64,
        now: u64,
    }

    impl View for Maps {
        fn captured(&self, destination: &Endpoint) -> Option<u32> {
            let app = *destination == Endpoint::new(Address::v4([10, 0, 0, 1]), 8080);
            let anywhere = *destination == Endpoint::new(Address::ANY, 9000);
            app.then_some(MILLION).or(anywhere.then_some(self.share))
        }
        fn exempt(&self, _: &Address) -> bool {
            self.exempt
        }
        fn bypassed(&self, _: &Endpoint) -> bool {
            self.bypassed
        }
        fn released_until(&self, _: &Endpoint) -> Option<u64> {
            self.released_until
        }
        fn last_beat(&self) -> u64 {
            self.last_beat
        }
        fn now(&self) -> u64 {
            self.now
        }
        fn seed(&self) -> Seed {
            Seed(7)
        }
    }

    const T: u64 = 5_000_000_000;

    fn alive() -> Maps {
        Maps { share: MILLION, last_beat: T, now: T, ..Maps::default() }
    }

    fn to(address: Address, port: u16) -> Lookup {
        let source = Endpoint::new(Address::v4([10, 0, 0, 2]), 40_000);
        Lookup { tcp: true, source, destination: Endpoint::new(address, port) }
    }

    fn app() -> Lookup {
        to(Address::v4([10, 0, 0, 1]), 8080)
    }

    #[test]
    fn a_captured_endpoint_goes_to_the_agent() {
        assert_eq!(pass(&app(), &alive()), None);
        assert_eq!(pass(&to(Address::v4([10, 0, 0, 9]), 9000), &alive()), None);
        assert_eq!(pass(&to(Address([7; 16]), 9000), &alive()), None);
    }

    #[test]
    fn everything_else_is_left_to_the_kernel() {
        let reserved = [Address::v4(RESERVED_V4.octets()), Address(RESERVED_V6.octets())];
        for address in reserved {
            assert_eq!(pass(&to(address, 9000), &alive()), Some(Verdict::Reserved));
            let own = Lookup { source: Endpoint::new(address, 40_000), ..app() };
            assert_eq!(pass(&own, &alive()), Some(Verdict::Reserved));
        }
        let other = to(Address::v4([10, 0, 0, 9]), 8080);
        assert_eq!(pass(&other, &alive()), Some(Verdict::NotCaptured));
        assert_eq!(pass(&Lookup { tcp: false, ..app() }, &alive()), Some(Verdict::NotTcp));
        assert_eq!(pass(&app(), &Maps { exempt: true, ..alive() }), Some(Verdict::Exempt));
        assert_eq!(pass(&app(), &Maps { bypassed: true, ..alive() }), Some(Verdict::Bypass));
    }

    #[test]
    fn a_released_endpoint_comes_back_by_itself() {
        let released = Maps { released_until: Some(T + 1), ..alive() };
        assert_eq!(pass(&app(), &released), Some(Verdict::Released));
        assert_eq!(pass(&app(), &Maps { now: T + 1, ..released }), None);
    }

    #[test]
    fn connections_outside_of_the_share_are_left_to_the_kernel() {
        let from = |port| {
            let source = Endpoint::new(Address::v4([10, 0, 0, 2]), port);
            Lookup { source, ..to(Address([7; 16]), 9000) }
        };
        let half = Maps { share: MILLION / 2, ..alive() };
        for port in 1..1000 {
            let drawn = Seed(7).draw(&from(port).source, &from(port).destination);
            let expected = (!admits(MILLION / 2, drawn)).then_some(Verdict::Unsampled);
            assert_eq!(pass(&from(port), &half), expected, "port {port}");
            assert_eq!(pass(&from(port), &half), expected, "and again, when its SYN comes again");
            let none = Maps { share: 0, ..alive() };
            assert_eq!(pass(&from(port), &none), Some(Verdict::Unsampled));
        }
        let gone = Maps { share: 0, last_beat: 0, ..alive() };
        assert_eq!(pass(&from(1), &gone), Some(Verdict::Stale), "nobody would have captured it");
    }

    #[test]
    fn a_silent_agent_captures_nothing() {
        assert_eq!(pass(&app(), &Maps { last_beat: 0, ..alive() }), Some(Verdict::Stale));
        assert_eq!(pass(&app(), &Maps { now: T + HEARTBEAT_LIMIT, ..alive() }), None);
        assert_eq!(pass(&app(), &Maps { now: T + HEARTBEAT_LIMIT + 1, ..alive() }), Some(Verdict::Stale));
        assert_eq!(pass(&app(), &Maps { now: T - 1, ..alive() }), None);
    }

    #[test]
    fn an_agent_without_room_captures_nothing_for_as_long_as_it_says_so() {
        let full = Maps { last_beat: SHED, ..alive() };
        assert_eq!(pass(&app(), &full), Some(Verdict::Shed));
        assert_eq!(pass(&app(), &Maps { now: 2 * T, ..full }), Some(Verdict::Shed));
        assert_eq!(pass(&app(), &alive()), None, "the next beat ends it");
        let other = to(Address::v4([10, 0, 0, 9]), 8080);
        let counted = pass(&other, &Maps { last_beat: SHED, ..alive() });
        assert_eq!(counted, Some(Verdict::NotCaptured), "it would not have been captured");
    }
}
