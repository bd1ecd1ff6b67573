//! Requests of the proposer: sent, repeated, given up.

use super::{
    Phase, Proposer,
    types::{Acceptors, Effect, ProposerSettings, StepDown},
};
use regionmesh_protocol::{
    identity::RegionName,
    register::{acceptor::AcceptorRequest, members::Incarnation},
};
use std::collections::BTreeSet;

impl Proposer {
    /// Repeats unanswered requests, refreshes, gives up. Call it about every 100 ms.
    pub fn tick(&mut self, now_ms: u64) -> Vec<Effect> {
        if let Some(reason) = self.timed_out(now_ms) {
            return self.step_down(reason);
        }

        let mut effects = self.tick_objections(now_ms);
        effects.extend(self.tick_join(now_ms));
        effects.extend(self.poll_voteless(now_ms));
        if let Phase::Leading(leading) = &mut self.phase
            && leading.pending.is_none()
            && now_ms.saturating_sub(leading.refreshed_ms) >= self.settings.refresh_ms
        {
            leading.refreshed_ms = now_ms;
            let read = |to: RegionName| Effect::Send {
                to,
                request: AcceptorRequest::Read,
            };

            effects.extend(leading.members().names().into_iter().map(read));
            return effects;
        }

        effects.extend(match self.phase {
            // The first leader may have waited long enough.
            Phase::Preparing(_) => self.elect(now_ms),
            _ => self.ask(now_ms),
        });

        effects
    }

    /// Whether it waits for answers that it repeats requests for.
    pub(crate) fn is_busy(&self) -> bool {
        match &self.phase {
            Phase::Idle => false,
            Phase::Preparing(_) => true,
            Phase::Leading(leading) => {
                let is_idle = leading.is_elected && leading.pending.is_none();
                !is_idle || leading.joining.is_some()
            }
        }
    }

    /// When [`Self::tick`] has something to do next while nothing is under way.
    pub(crate) fn next_ms(&self) -> Option<u64> {
        let Phase::Leading(leading) = &self.phase else {
            return None;
        };
        let ProposerSettings {
            retry_ms,
            refresh_ms,
            silence_ms,
            ..
        } = self.settings;
        let has_voteless = leading.members().acceptors.values().any(Option::is_none);
        let polled_ms = has_voteless.then_some(leading.polled_ms + retry_ms);
        let refreshed_ms = leading.refreshed_ms + refresh_ms;
        let silent_ms = leading.majority_heard_ms() + silence_ms;

        [polled_ms, Some(refreshed_ms), Some(silent_ms)]
            .into_iter()
            .flatten()
            .min()
    }

    /// Members without a vote reduce the failures that the register tolerates, so they are polled
    /// more often than the others are refreshed.
    fn poll_voteless(&mut self, now_ms: u64) -> Vec<Effect> {
        let retry_ms = self.settings.retry_ms;
        let Phase::Leading(leading) = &mut self.phase else {
            return Vec::new();
        };

        if !leading.is_elected || now_ms.saturating_sub(leading.polled_ms) < retry_ms {
            return Vec::new();
        }
        leading.polled_ms = now_ms;

        let voteless = leading
            .members()
            .acceptors
            .iter()
            .filter(|(_, counted)| counted.is_none());

        voteless
            .map(|(name, _)| Effect::Send {
                to: name.clone(),
                request: AcceptorRequest::Read,
            })
            .collect()
    }

    fn timed_out(&self, now_ms: u64) -> Option<StepDown> {
        let (members, since_ms, limit_ms) = match &self.phase {
            Phase::Idle => return None,
            Phase::Preparing(preparing) => (
                preparing.names().len(),
                preparing.since_ms,
                self.settings.prepare_ms,
            ),
            Phase::Leading(leading) if !leading.is_elected => (
                leading.members().len(),
                leading.since_ms,
                self.settings.prepare_ms,
            ),
            Phase::Leading(leading) => (
                leading.members().len(),
                leading.majority_heard_ms(),
                self.settings.silence_ms,
            ),
        };

        let silent_ms = now_ms.saturating_sub(since_ms);
        (silent_ms >= limit_ms).then_some(StepDown::NoMajority { members, silent_ms })
    }

    /// Asks the acceptors that have not answered the current request and were not asked within
    /// `retry_ms`.
    pub(super) fn ask(&mut self, now_ms: u64) -> Vec<Effect> {
        let (request, open): (AcceptorRequest, Vec<RegionName>) = match &self.phase {
            Phase::Preparing(preparing) => {
                // The first leader waits for all; it keeps asking those that promised, or they
                // would elect another.
                let is_first = matches!(preparing.acceptors, Acceptors::First { .. });
                let is_open =
                    |name: &RegionName| is_first || !preparing.promised.contains_key(name);
                let open = preparing.names().into_iter().filter(is_open);

                (
                    AcceptorRequest::Prepare(preparing.ballot.clone()),
                    open.collect(),
                )
            }
            Phase::Leading(leading) => {
                let Some(pending) = &leading.pending else {
                    return Vec::new();
                };
                let is_open = |counted: &Option<Incarnation>| {
                    counted.is_some_and(|vote| !pending.accepted.contains(&vote))
                };
                let deciding = pending.members.acceptors.iter();
                let open: BTreeSet<RegionName> = deciding
                    .chain(&pending.value.members.acceptors)
                    .filter(|(_, counted)| is_open(counted))
                    .map(|(name, _)| name.clone())
                    .collect();
                let request = AcceptorRequest::Accept(pending.stamp.clone(), pending.value.clone());

                (request, open.into_iter().collect())
            }
            Phase::Idle => return Vec::new(),
        };

        let retry_ms = self.settings.retry_ms;
        let is_due = |asked: Option<&u64>| {
            asked.is_none_or(|asked| now_ms.saturating_sub(*asked) >= retry_ms)
        };
        let due: Vec<RegionName> = open
            .into_iter()
            .filter(|member| is_due(self.asked_ms.get(member)))
            .collect();

        self.asked_ms
            .extend(due.iter().map(|member| (member.clone(), now_ms)));
        due.into_iter()
            .map(|to| Effect::Send {
                to,
                request: request.clone(),
            })
            .collect()
    }
}
