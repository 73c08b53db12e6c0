use super::*;
use crate::record::RuleKey;

fn account() -> Arc<Account> {
    let rule = RuleKey { virtual_service: "default/my-app".into(), rule: "all".into() }.into();
    Arc::new(Account::new(MirrorKey { rule, mirror: "my-app:80/v2".into() }))
}

#[test]
fn every_ticket_ends_in_exactly_one_place() {
    let account = account();
    account.offer().settle(Outcome::Completed { status: 200 });
    account.offer().settle(Outcome::Failed(FailReason::Timeout));
    account.offer().settle(Outcome::Dropped(DropReason::QueueFull));
    account.offer().sampled_out();
    account.offer().answered(GrpcStatus::parse(b"14"));
    let open = account.offer();

    let balance = account.read();
    assert_eq!((balance.offered, balance.completed, balance.calls[14]), (6, 2, 1));
    assert_eq!(balance.in_flight(), 1);
    assert_eq!(balance.failed[FailReason::Timeout as usize], 1);
    assert_eq!(balance.dropped[DropReason::QueueFull as usize], 1);
    open.settle(Outcome::Completed { status: 500 });
    assert_eq!(account.read().in_flight(), 0);
}

#[test]
fn a_lost_ticket_is_counted_as_an_internal_failure() {
    let account = account();
    drop(account.offer());
    assert_eq!(account.read().failed[FailReason::Internal as usize], 1);
}

#[test]
fn an_account_in_use_survives_the_clean_up() {
    let accounts = Accounts::default();
    let key = (*account().key).clone();
    let held = accounts.account(&key);
    accounts.forget_unused();
    assert!(Arc::ptr_eq(&held, &accounts.account(&key)));
    let rule = accounts.rule(&key.rule);
    accounts.forget_unused();
    assert!(Arc::ptr_eq(&rule, &accounts.rule(&key.rule)));
    drop((held, rule));
    accounts.forget_unused();
    assert!(accounts.all().is_empty() && accounts.rules().is_empty());
}

#[test]
fn a_pause_outlives_the_rule_it_was_for() {
    let accounts = Accounts::default();
    let key = (*account().key).clone();
    assert!(accounts.account(&key).pause());
    accounts.forget_unused();
    let again = accounts.account(&key);
    assert!(!again.pause() && again.resume() && !again.resume());
    drop(again);
    accounts.forget_unused();
    assert!(accounts.all().is_empty());
}

#[test]
fn a_mirror_without_trouble_takes_little_room() {
    // There are mirrors by the ten thousand.
    assert!(size_of::<Account>() <= 144, "{}", size_of::<Account>());
}
