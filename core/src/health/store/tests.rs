use super::*;
use proptest::{collection::vec, prelude::*};

/// Time since the operation before, access, area, whether it failed.
fn operations() -> impl Strategy<Value = Vec<(u64, bool, u8, bool)>> {
    vec((1..4_000u64, any::<bool>(), 0..20u8, any::<bool>()), 1..60)
}

fn access(is_write: bool) -> Access {
    if is_write {
        Access::Write
    } else {
        Access::Read
    }
}

fn failure(fails: bool) -> Result<(), String> {
    if fails { Err("no".into()) } else { Ok(()) }
}

proptest! {
    #[test]
    fn a_store_is_unavailable_if_all_operations_fail_and_never_if_all_succeed(
        operations in operations(),
        fails: bool,
    ) {
        let mut judge = StoreJudge::default();
        let mut now_ms = 0;
        for (wait, is_write, _, _) in operations {
            now_ms += wait;
            judge.observe(access(is_write), "a", failure(fails), now_ms);
        }

        for later in [now_ms + 1, now_ms + 2] {
            judge.observe(Access::Read, "b", failure(fails), later);
            judge.observe(Access::Read, "b", failure(fails), later + FAILING_MS);
        }

        prop_assert_eq!(judge.outage(now_ms + FAILING_MS + 2).is_some(), fails);
    }

    #[test]
    fn an_outage_ends_once_everything_answers(operations in operations()) {
        let mut judge = StoreJudge::default();
        let mut now_ms = 0;
        for (wait, is_write, area, fails) in operations {
            now_ms += wait;
            judge.observe(access(is_write), &area.to_string(), failure(fails), now_ms);
            if let Some(outage) = judge.outage(now_ms) {
                prop_assert!(outage.since_ms <= now_ms);
            }
        }

        for _ in 0..=(IDLE_MS / 1_000) {
            now_ms += 1_000;
            judge.observe(Access::Read, "register", Ok(()), now_ms);
            judge.observe(Access::Write, "register", Ok(()), now_ms);
            judge.outage(now_ms);
        }

        prop_assert_eq!(judge.outage(now_ms), None);
        prop_assert!(!judge.is_in_doubt(Access::Read) && !judge.is_in_doubt(Access::Write));
    }

    #[test]
    fn a_success_between_failures_prevents_an_outage(waits in vec(1..4_000u64, 1..60)) {
        let mut judge = StoreJudge::default();
        let mut now_ms = 0;
        for wait in waits {
            now_ms += wait;
            judge.observe(Access::Write, "a", Err("no".into()), now_ms);
            judge.observe(Access::Write, "a", Ok(()), now_ms);
            prop_assert_eq!(judge.outage(now_ms), None);
        }
    }
}

#[test]
fn a_full_disk_is_an_outage_although_it_reads() {
    let mut judge = StoreJudge::default();
    for now_ms in (0..10_000).step_by(1_000) {
        judge.observe(Access::Read, "register", Ok(()), now_ms);
        judge.observe(
            Access::Write,
            "probe",
            Err(format!("full at {now_ms}")),
            now_ms,
        );
    }

    let outage = judge.outage(10_000).unwrap();
    assert_eq!(
        (outage.since_ms, outage.access, &*outage.why),
        (0, Access::Write, "full at 9000")
    );

    // One success is not yet a recovery.
    judge.observe(Access::Write, "probe", Ok(()), 10_500);
    assert!(judge.outage(10_600).is_some());
    assert!(judge.outage(10_500 + RECOVERED_MS).is_none());
}

#[test]
fn read_and_write_successes_are_tracked_separately() {
    let mut judge = StoreJudge::default();
    judge.observe(Access::Read, "register", Ok(()), 7);
    assert_eq!(
        (
            judge.succeeded_by_ms(Access::Read),
            judge.succeeded_by_ms(Access::Write)
        ),
        (Some(7), None)
    );

    judge.observe(Access::Write, "probe", Err("no".into()), 8);
    assert_eq!(
        (judge.succeeded_ms(), judge.succeeded_by_ms(Access::Write)),
        (Some(7), None)
    );
}

#[test]
fn one_failing_folder_is_an_outage_while_it_is_used() {
    let mut judge = StoreJudge::default();
    for now_ms in (0..10_000).step_by(1_000) {
        judge.observe(Access::Read, "register", Ok(()), now_ms);
        judge.observe(Access::Read, "manifests", Err("forbidden".into()), now_ms);
    }

    assert_eq!(judge.outage(10_000).unwrap().why, "forbidden");
    judge.observe(Access::Read, "register", Ok(()), 14_000);
    assert!(judge.outage(9_000 + IDLE_MS).is_none());
}
