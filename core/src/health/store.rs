//! When an object store counts as unavailable. Pure: fed with the outcome of every operation, and
//! with the time.
//!
//! Outcomes are kept apart by area (the first folder of the path) and by access: a full disk still
//! reads, and a policy may forbid one folder alone. An area fails once it failed at least twice,
//! over [`FAILING_MS`], without a success in between.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An area that failed again and again over this long is unavailable, milliseconds.
pub const FAILING_MS: u64 = 2_500;
/// An area that succeeds is available again after this long without a failure, milliseconds.
pub const RECOVERED_MS: u64 = 3_000;
/// An area that nothing was asked of for this long is judged by the other areas of its access,
/// milliseconds.
pub const IDLE_MS: u64 = 6_000;
/// The area of probes, which are not repeated: what they say is plainer than that others got no
/// answer in time.
pub const PROBE_AREA: &str = "probe";
/// Most areas that are told apart; what is beyond counts as one.
pub const AREAS_MAX: usize = 16;

/// What an operation wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Access {
    /// Reading or listing.
    Read,
    /// Writing, copying or deleting.
    Write,
}

impl Access {
    /// The word for it, as in metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// An outage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outage {
    /// Its first failure.
    pub since_ms: u64,
    /// What fails.
    pub access: Access,
    /// The last failure in words.
    pub why: String,
}

#[derive(Debug, Clone, Default)]
struct Area {
    /// The first failure of the current run of failures.
    failing_since_ms: Option<u64>,
    failures: u64,
    last_failure_ms: u64,
    why: String,
    /// The first success after the last failure.
    recovering_since_ms: Option<u64>,
}

impl Area {
    fn is_out(&self) -> bool {
        self.failures >= 2
            && self
                .failing_since_ms
                .is_some_and(|since| self.last_failure_ms >= since + FAILING_MS)
    }

    fn succeeded(&mut self, now_ms: u64) {
        if self.is_out() {
            self.recovering_since_ms.get_or_insert(now_ms);
        } else {
            *self = Self::default();
        }
    }

    fn failed(&mut self, why: String, now_ms: u64) {
        self.failing_since_ms.get_or_insert(now_ms);
        self.failures = self.failures.saturating_add(1);
        self.last_failure_ms = self.last_failure_ms.max(now_ms);
        self.why = why;
        self.recovering_since_ms = None;
    }
}

/// The judge of one store.
#[derive(Debug, Clone, Default)]
pub struct StoreJudge {
    areas: BTreeMap<(Access, String), Area>,
    /// The last success of each access.
    succeeded_ms: BTreeMap<Access, u64>,
}

impl StoreJudge {
    /// An operation ended; `Err` is the failure in words. That something is not there, or is there
    /// already, is a success.
    pub fn observe(
        &mut self,
        access: Access,
        area: &str,
        outcome: Result<(), String>,
        now_ms: u64,
    ) {
        let mut key = (access, area.to_owned());
        if !self.areas.contains_key(&key) && self.areas.len() >= AREAS_MAX {
            key.1 = String::new();
        }

        match outcome {
            Ok(()) => {
                self.succeeded_ms.insert(access, now_ms);
                if let Some(known) = self.areas.get_mut(&key) {
                    known.succeeded(now_ms);
                }
            }
            Err(why) => self.areas.entry(key).or_default().failed(why, now_ms),
        }
    }

    /// Whether, and since when, the store is unavailable.
    pub fn outage(&mut self, now_ms: u64) -> Option<Outage> {
        let succeeded_ms = self.succeeded_ms.clone();
        self.areas.retain(|(access, _), area| {
            let is_recovered = area
                .recovering_since_ms
                .is_some_and(|since| now_ms >= since + RECOVERED_MS);
            let is_outlived = succeeded_ms
                .get(access)
                .is_some_and(|at| *at > area.last_failure_ms)
                && now_ms >= area.last_failure_ms + IDLE_MS;

            area.failing_since_ms.is_some() && !is_recovered && !is_outlived
        });

        let out = || self.areas.iter().filter(|(_, area)| area.is_out());
        let since_ms = out().filter_map(|(_, area)| area.failing_since_ms).min()?;
        let ((access, _), area) =
            out().min_by_key(|((_, name), area)| (name != PROBE_AREA, area.failing_since_ms))?;

        Some(Outage {
            since_ms,
            access: *access,
            why: area.why.clone(),
        })
    }

    /// The last success of any kind.
    pub fn succeeded_ms(&self) -> Option<u64> {
        self.succeeded_ms.values().max().copied()
    }

    /// The last success of one access.
    pub fn succeeded_by_ms(&self, access: Access) -> Option<u64> {
        self.succeeded_ms.get(&access).copied()
    }

    /// Whether an operation of this access failed and none has made up for it yet.
    pub fn is_in_doubt(&self, access: Access) -> bool {
        self.areas.keys().any(|(known, _)| *known == access)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
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
        fn a_store_whose_operations_all_fail_is_out_and_one_that_answers_all_never(
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
        fn a_success_between_failures_is_no_outage(waits in vec(1..4_000u64, 1..60)) {
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
    fn successes_of_reading_and_writing_are_told_apart() {
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
    fn one_folder_that_fails_among_others_that_answer_is_an_outage_while_it_is_asked() {
        let mut judge = StoreJudge::default();
        for now_ms in (0..10_000).step_by(1_000) {
            judge.observe(Access::Read, "register", Ok(()), now_ms);
            judge.observe(Access::Read, "manifests", Err("forbidden".into()), now_ms);
        }

        assert_eq!(judge.outage(10_000).unwrap().why, "forbidden");
        judge.observe(Access::Read, "register", Ok(()), 14_000);
        assert!(judge.outage(9_000 + IDLE_MS).is_none());
    }
}
