//! A debug build checks its own books. What is in flight follows from counters, so those always add up; here it is held
//! against the places that copies have in the plane, which are counted elsewhere. A copy that was lost, ended twice or
//! never gave its place back shows as a difference.

use std::{sync::Arc, time::Duration};

use tokio::{
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};

use crate::{record::Accounts, shadow::Plane};

const EVERY: Duration = Duration::from_secs(1);

/// Runs until [`Proof::end`].
pub(super) struct Proof {
    accounts: Arc<Accounts>,
    plane: Arc<Plane>,
    looking: Option<JoinHandle<()>>,
}

/// `threads` may each be between taking a place and the entry in the books, or between the two ends.
pub(super) fn begin(accounts: &Arc<Accounts>, plane: &Arc<Plane>, threads: usize) -> Proof {
    let (accounts, plane) = (Arc::clone(accounts), Arc::clone(plane));
    let looking = cfg!(debug_assertions).then(|| {
        let (accounts, plane) = (Arc::clone(&accounts), Arc::clone(&plane));
        tokio::spawn(async move {
            let mut second = interval(EVERY);
            second.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                second.tick().await;
                complain(look(&accounts, &plane, threads as u64));
            }
        })
    });
    Proof { accounts, plane, looking }
}

impl Proof {
    /// The last look, after the plane has drained: nothing may be open any more.
    pub(super) fn end(self) {
        if let Some(looking) = self.looking {
            looking.abort();
            complain(look(&self.accounts, &self.plane, 0).and_then(|in_flight| match in_flight {
                Some(open) if open > 0 => {
                    Err(format!("{open} copies are open although the plane is drained"))
                }
                in_flight => Ok(in_flight),
            }));
        }
    }
}

fn complain(looked: Result<Option<u64>, String>) {
    if let Err(difference) = looked {
        tracing::error!("the books do not add up: {difference}; this is a fault of umbra, please report it");
    }
}

/// How many copies are in flight; None when they changed meanwhile, so that nothing can be said.
///
/// # Errors
/// What differs.
fn look(accounts: &Accounts, plane: &Plane, threads: u64) -> Result<Option<u64>, String> {
    let (books, load) = (read(accounts), plane.load());
    if books != read(accounts) {
        return Ok(None);
    }
    let (_, in_flight) = books;
    let places = (load.waiting + load.in_flight) as u64;
    if places > in_flight || in_flight - places > threads {
        return Err(format!("{in_flight} copies are in flight, {places} have a place"));
    }
    if in_flight == 0 && load.bytes > 0 {
        return Err(format!("{} bytes are held for no copy", load.bytes));
    }
    Ok(Some(in_flight))
}

/// Offered, and in flight.
fn read(accounts: &Accounts) -> (u64, u64) {
    let balances = accounts.all().into_iter().map(|account| account.read());
    balances.fold((0, 0), |(offered, open), balance| (offered + balance.offered, open + balance.in_flight()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::umbra::Shadow,
        observe::Recorder,
        record::{MirrorKey, RuleKey},
    };

    #[tokio::test]
    async fn a_copy_that_is_lost_is_noticed() {
        let accounts = Arc::new(Accounts::default());
        let plane = Plane::start(&Shadow::default(), Arc::new(Recorder::default())).unwrap();
        let rule = RuleKey { virtual_service: "default/my-app".into(), rule: "all".into() }.into();
        let account = accounts.account(&MirrorKey { rule, mirror: "my-app:80/v2".into() });
        account.offer().sampled_out();
        assert_eq!(look(&accounts, &plane, 0), Ok(Some(0)));

        std::mem::forget(account.offer());
        assert_eq!(look(&accounts, &plane, 1), Ok(Some(1)), "it may be on its way to its place");
        let difference = look(&accounts, &plane, 0).unwrap_err();
        assert_eq!(difference, "1 copies are in flight, 0 have a place");
    }
}
