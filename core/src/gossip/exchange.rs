//! Exchanges of the board with one peer, from both ends.

use super::{
    Gossip,
    delta::Delta,
    messages::{Compare, Comparison, ExchangeReply, ExchangeRequest},
    outcome::Applied,
    skew::{ClockReading, PeerClock},
    spread::{Due, FAN_OUT, Step},
    state::Judge,
    tree::Leaves,
    types::{Effect, ExchangeError, Notice},
};
use crate::now::{Now, millis};
use regionmesh_protocol::{identity::AgentId, plan::PlanAge};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

/// Boards of at most so many agents are compared by their owners immediately: naming all of them
/// costs less than the exchanges that find out which differ.
const COMPARED_DIRECTLY_MAX: usize = 32;
/// Most bytes of entries in one request or reply; the rest goes in the next. Keeps each turn short.
const DELTA_BYTES: usize = 4 << 20;
/// A peer passes on what other regions publish if some of it arrived so recently: every agent
/// publishes every 2 s.
const PASSED_ON: Duration = Duration::from_secs(3);

impl Gossip {
    pub(super) fn answer(
        &mut self,
        from: &AgentId,
        request: &[u8],
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Vec<u8> {
        let reply = match ExchangeRequest::decode(request) {
            Ok(request) => {
                out.push(Effect::Notice(Notice::ExchangeAnswered));
                out.push(Effect::PeerClock(PeerClock {
                    reading: request.clock,
                    received: now.monotonic,
                    asked: None,
                }));
                let recipients = request.recipients.into_iter().collect();
                self.apply(from, request.delta, recipients, now.monotonic, out);

                ExchangeReply::Board {
                    clock: self.clock(now),
                    comparison: self.compare(&request.compare),
                }
            }
            Err(error) => {
                let reply = ExchangeReply::Refused(error.to_string());
                out.push(Effect::Notice(Notice::ExchangeRefused {
                    from: from.clone(),
                    error,
                }));
                reply
            }
        };

        reply.encode().unwrap_or_else(|error| {
            out.push(Effect::Notice(Notice::AnswerFailed {
                from: from.clone(),
                error,
            }));
            Vec::new()
        })
    }

    fn compare(&self, compare: &Compare) -> Comparison {
        match compare {
            Compare::Nothing => Comparison::Nothing,
            Compare::Branches(theirs) => {
                let differing = self.board.tree().differing_branches(theirs);
                if differing.is_empty() {
                    Comparison::Equal
                } else {
                    Comparison::Leaves(differing)
                }
            }
            Compare::Owners { leaves, digest } => {
                let ours = self.board.digest_of(*leaves);
                if ours == *digest {
                    Comparison::Equal
                } else {
                    Comparison::Owners {
                        delta: self.board.delta_of(*leaves, digest, DELTA_BYTES),
                        digest: ours,
                    }
                }
            }
        }
    }

    pub(super) fn exchange_ended(
        &mut self,
        with: &AgentId,
        (asked, answered): (Instant, Instant),
        answer: Result<Vec<u8>, ExchangeError>,
        now: Instant,
        out: &mut Vec<Effect>,
    ) {
        match answer.and_then(|bytes| read(&bytes)) {
            Ok((clock, comparison)) => {
                out.push(Effect::Notice(Notice::Exchanged));
                out.push(Effect::PeerClock(PeerClock {
                    reading: clock,
                    received: answered,
                    asked: Some((with.clone(), asked)),
                }));
                let is_compared =
                    matches!(comparison, Comparison::Equal | Comparison::Owners { .. });
                let next = self.next_step(with, comparison, now, out);
                if is_compared && self.speaks_for_abroad(with, asked) {
                    self.heard = Some(asked);
                }
                self.spread.ended(with, next, now);
            }
            Err(error) => self.exchange_failed(with, error, now, out),
        }
    }

    /// Whether an exchange that began at `asked` shows what other regions know: its peer is of one,
    /// or passes on to this agent, which is not linked with any, what they publish.
    fn speaks_for_abroad(&self, with: &AgentId, asked: Instant) -> bool {
        let is_abroad = |agent: &AgentId| agent.region != self.own.region;
        if is_abroad(with) {
            return true;
        }

        let has_links = self.links.iter().flatten().any(is_abroad);
        let heard = self.board.heard_abroad();
        !has_links && heard.is_some_and(|heard| heard + PASSED_ON >= asked)
    }

    fn next_step(
        &mut self,
        with: &AgentId,
        comparison: Comparison,
        now: Instant,
        out: &mut Vec<Effect>,
    ) -> Option<Step> {
        match comparison {
            Comparison::Nothing | Comparison::Equal => None,
            Comparison::Leaves(theirs) => {
                let differing = self.board.tree().differing_leaves(&theirs);
                (!differing.is_empty()).then_some(Step::Owners(differing))
            }
            Comparison::Owners { digest, delta } => {
                let leaves = self.spread.compared(with);
                let has_more = delta.has_more;
                let has_learned = self.apply(with, delta, BTreeSet::new(), now, out);

                if self.board.has_news_in(leaves, &digest) {
                    Some(Step::Send(leaves, digest))
                } else {
                    (has_more && has_learned).then_some(Step::Begin)
                }
            }
        }
    }

    fn exchange_failed(
        &mut self,
        with: &AgentId,
        error: ExchangeError,
        now: Instant,
        out: &mut Vec<Effect>,
    ) {
        out.push(Effect::Notice(Notice::ExchangeFailed {
            with: with.clone(),
            error,
        }));
        self.spread.failed(with, now);
    }

    /// Applies the valid entries of a delta, which the peer also sent to `recipients`; returns
    /// whether any was new.
    fn apply(
        &mut self,
        from: &AgentId,
        delta: Delta,
        recipients: BTreeSet<AgentId>,
        now: Instant,
        out: &mut Vec<Effect>,
    ) -> bool {
        if delta.is_empty() {
            return false;
        }

        let judge = Judge {
            verifier: &*self.verifier,
            alive: self.membership.alive(),
            now,
        };
        let Applied {
            changes,
            rejected,
            is_outranked,
        } = self.board.apply(delta, judge);

        for (reason, count) in rejected {
            out.push(Effect::Notice(Notice::EntriesRejected {
                from: from.clone(),
                reason,
                count,
            }));
        }

        if is_outranked {
            out.push(Effect::Notice(Notice::Outranked));
            let outcome = self.board.sign_again(&*self.signer, now).map(|()| true);
            self.published(outcome, now, out);
        }

        if changes.is_empty() {
            return false;
        }
        self.is_view_stale = true;
        self.is_urgent |= changes.iter().any(|change| change.is_urgent);

        let is_small = self.is_small();
        let mut known_by = recipients;
        known_by.insert(from.clone());
        let change_count = changes.len();
        let relayed: Vec<_> = changes
            .into_iter()
            .filter(|change| is_small || change.is_urgent)
            .map(|change| (change.owner, change.kind))
            .collect();

        if relayed.len() < change_count {
            self.spread.learned_routine();
        }
        if !relayed.is_empty() {
            self.spread.learned(relayed, &known_by, now);
        }
        true
    }

    /// Whether the fan-out covers the mesh: then all news is relayed immediately, and each exchange
    /// compares boards.
    fn is_small(&self) -> bool {
        self.board.agent_count() <= FAN_OUT + 1
    }

    pub(super) fn begin_exchange(&mut self, due: Due, now: Now, out: &mut Vec<Effect>) {
        let with = due.peer;
        let mut delta = self.board.delta_with(&due.news, DELTA_BYTES);

        let compare = match due.step {
            Some(Step::Send(leaves, digest)) => {
                let lacked = self.board.delta_of(leaves, &digest, DELTA_BYTES);
                if lacked.has_more {
                    self.spread.compare_again(&with, now.monotonic);
                }
                delta.merge(lacked);
                Compare::Nothing
            }
            Some(Step::Owners(leaves)) => self.owners(leaves),
            None if self.is_small() => self.owners(Leaves::ALL),
            Some(Step::Begin) if self.board.agent_count() <= COMPARED_DIRECTLY_MAX => {
                self.owners(Leaves::ALL)
            }
            Some(Step::Begin) => Compare::Branches(self.board.tree().branches()),
            None => Compare::Nothing,
        };
        if let Compare::Owners { leaves, .. } = &compare {
            self.spread.comparing(&with, *leaves);
        }

        let others = due.recipients.into_iter().filter(|agent| *agent != with);
        let request = ExchangeRequest {
            clock: self.clock(now),
            delta,
            recipients: others.collect(),
            compare,
        };

        match request.encode() {
            Ok(request) => out.push(Effect::BeginExchange { with, request }),
            Err(error) => {
                let error = ExchangeError {
                    outcome: "malformed",
                    error: format!("agent {with}: {error}"),
                };
                self.exchange_failed(&with, error, now.monotonic, out);
            }
        }
    }

    fn owners(&self, leaves: Leaves) -> Compare {
        Compare::Owners {
            leaves,
            digest: self.board.digest_of(leaves),
        }
    }

    fn clock(&self, now: Now) -> ClockReading {
        let plan = self.plan_age.map(|(age, at)| {
            let passed = now.monotonic.saturating_duration_since(at);
            PlanAge {
                made_ms: age.made_ms,
                age_ms: age.age_ms.saturating_add(millis(passed)),
            }
        });

        ClockReading {
            unix_ms: now.unix_ms,
            plan,
        }
    }
}

fn read(answer: &[u8]) -> Result<(ClockReading, Comparison), ExchangeError> {
    match ExchangeReply::decode(answer) {
        Ok(ExchangeReply::Board { clock, comparison }) => Ok((clock, comparison)),
        Ok(ExchangeReply::Refused(why)) => Err(ExchangeError {
            outcome: "refused_by_peer",
            error: format!("it refused: {why}"),
        }),
        Err(error) => Err(ExchangeError {
            outcome: "malformed_answer",
            error: format!("its answer: {error}"),
        }),
    }
}
