//! When a plan is committed again because its signers' X.509 certificates end.
//!
//! A certificate counts only while those of its signers are valid, so a plan that stays in force
//! for long needs new signatures before an agent that restarts would refuse it. The leader commits
//! it again once a signer presents a newer certificate than it signed with, and once less than a
//! third of some signer's validity is left. If nothing was renewed by then, it repeats that each
//! time half of the rest has passed.

use crate::gossip::Verifier;
use regionmesh_protocol::{identity::AgentId, register::certificate::Certificate};

/// How often the validity is checked, milliseconds.
const CHECK_EVERY_MS: u64 = 10_000;
/// With less validity left than this, milliseconds, the plan is not committed again: too late.
const LEFT_MIN_MS: u64 = 10_000;

/// The chains that agents present at the moment.
pub trait Presented {
    /// The chain of an agent, leaf first, DER; none if it is not known.
    fn chain(&self, agent: &AgentId) -> Option<&[Vec<u8>]>;
}

/// Decides when the leader commits its plan again.
#[derive(Debug, Clone, Default)]
pub struct Renewal {
    checked_ms: Option<u64>,
    /// The earliest end at the last renewal, Unix milliseconds, and what was left of it.
    last: Option<(u64, u64)>,
}

impl Renewal {
    /// Whether the plan with this certificate is to be committed again now. `now_ms`: Unix
    /// milliseconds.
    pub fn is_due(
        &mut self,
        certificate: &Certificate,
        presented: &impl Presented,
        verifier: &dyn Verifier,
        now_ms: u64,
    ) -> bool {
        let is_early = |at: u64| now_ms.abs_diff(at) < CHECK_EVERY_MS;
        if self.checked_ms.is_some_and(is_early) {
            return false;
        }
        self.checked_ms = Some(now_ms);

        let mut is_replaced = false;
        let mut earliest: Option<(u64, u64)> = None;
        for acceptance in certificate.acceptances() {
            let signed = acceptance.signed;
            let Some((from_ms, until_ms)) = verifier.validity_ms(&signed.chain) else {
                continue;
            };
            let newer = presented
                .chain(&signed.agent)
                .and_then(|chain| verifier.validity_ms(chain));

            is_replaced |= newer.is_some_and(|(newer_ms, _)| newer_ms > from_ms);
            if earliest.is_none_or(|(earliest_ms, _)| until_ms < earliest_ms) {
                earliest = Some((until_ms, until_ms.saturating_sub(from_ms)));
            }
        }

        let Some((until_ms, lifetime_ms)) = earliest else {
            return false;
        };
        is_replaced || self.is_ending(until_ms, lifetime_ms, now_ms)
    }

    fn is_ending(&mut self, until_ms: u64, lifetime_ms: u64, now_ms: u64) -> bool {
        let left_ms = until_ms.saturating_sub(now_ms);
        let limit_ms = match self.last {
            Some((last_ms, left_ms)) if last_ms == until_ms => left_ms / 2,
            _ => lifetime_ms / 3,
        };
        let is_due = left_ms < limit_ms && left_ms > LEFT_MIN_MS;

        if is_due {
            self.last = Some((until_ms, left_ms));
        }
        is_due
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
