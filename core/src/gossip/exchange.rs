//! Exchanges of the board with one peer, from both ends.

use super::{
    Gossip,
    delta::{Delta, ExchangeReply, ExchangeRequest},
    digest::Digest,
    outcome::Applied,
    skew::ClockReading,
    state::Judge,
    types::{Effect, ExchangeError, Notice},
};
use crate::now::Now;
use regionmesh_protocol::{identity::AgentId, plan::PlanAge};
use std::time::Instant;

/// Most bytes of entries in one request or reply; the rest goes in the next. Keeps each turn short.
const DELTA_BYTES: usize = 4 << 20;

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
                out.push(Effect::ClockReceived(request.clock));
                self.apply(from, request.delta, now.monotonic, out);

                let digest = self.board.digest();
                let delta = self.board.delta_for(&request.digest, DELTA_BYTES);
                let mut theirs = request.digest;

                if !delta.has_more {
                    theirs.learn(&digest);
                }
                self.spread.heard(from, theirs);
                ExchangeReply::Board {
                    digest,
                    delta,
                    clock: self.clock(now),
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

    pub(super) fn exchange_ended(
        &mut self,
        with: &AgentId,
        span: (Instant, Instant),
        answer: Result<Vec<u8>, ExchangeError>,
        now: Instant,
        out: &mut Vec<Effect>,
    ) {
        match answer.and_then(|bytes| read(&bytes)) {
            Ok((digest, delta, clock)) => {
                out.push(Effect::Notice(Notice::Exchanged));
                out.push(Effect::ClockCompared {
                    peer: with.clone(),
                    reading: clock,
                    span,
                });
                if with.region != self.own.region {
                    self.heard = Some(span.0);
                }

                let has_more = delta.has_more;
                let has_learned = self.apply(with, delta, now, out);
                let again = (has_more && has_learned) || self.board.has_news_for(&digest);

                self.spread.ended(with, Some(digest), again, now);
            }
            Err(error) => self.exchange_failed(with, error, now, out),
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
        self.spread.ended(with, None, true, now);
    }

    /// Applies the valid entries of a delta; returns whether any was new.
    fn apply(&mut self, from: &AgentId, delta: Delta, now: Instant, out: &mut Vec<Effect>) -> bool {
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

        let agents = self.board.agent_count();
        if is_outranked {
            out.push(Effect::Notice(Notice::Outranked));
            let outcome = self.board.sign_again(&*self.signer, now).map(|()| true);
            self.published(outcome, now, out);
        }

        if !changes.is_empty() {
            self.is_view_stale = true;
            self.spread.learned(from, agents, now);
        }

        !changes.is_empty()
    }

    pub(super) fn begin_exchange(
        &mut self,
        with: AgentId,
        digest: Option<&Digest>,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let delta = digest
            .map(|digest| self.board.delta_for(digest, DELTA_BYTES))
            .unwrap_or_default();
        let request = ExchangeRequest {
            digest: self.board.digest(),
            delta,
            clock: self.clock(now),
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

    fn clock(&self, now: Now) -> ClockReading {
        let plan = self.plan_age.map(|(age, at)| {
            let passed = now.monotonic.saturating_duration_since(at).as_millis();
            let passed_ms = u64::try_from(passed).unwrap_or(u64::MAX);

            PlanAge {
                made_ms: age.made_ms,
                age_ms: age.age_ms.saturating_add(passed_ms),
            }
        });

        ClockReading {
            unix_ms: now.unix_ms,
            plan,
        }
    }
}

fn read(answer: &[u8]) -> Result<(Digest, Delta, ClockReading), ExchangeError> {
    match ExchangeReply::decode(answer) {
        Ok(ExchangeReply::Board {
            digest,
            delta,
            clock,
        }) => Ok((digest, delta, clock)),
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
