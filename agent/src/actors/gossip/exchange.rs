//! Exchanges of the board with one peer, from both ends.

use super::{GossipState, now};
use crate::actors::messages::GossipMessage;
use ractor::ActorRef;
use regionmesh_core::gossip::{Applied, Delta, Digest, ExchangeReply, ExchangeRequest, Judge};
use regionmesh_mesh::{Peer, PeerError};
use regionmesh_protocol::identity::AgentId;
use std::time::{Duration, Instant};

/// How long one exchange may take.
pub(super) const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(5);
/// Most bytes of entries in one request or reply; the rest goes in the next. Keeps each turn of the
/// actor short.
const DELTA_BYTES: usize = 4 << 20;

fn outcome_of(error: &PeerError) -> &'static str {
    match error {
        PeerError::NotConnected(_) => "not_connected",
        PeerError::Busy(_) => "busy",
        PeerError::TimedOut(..) => "timed_out",
        PeerError::Broken(..) => "broken",
        PeerError::Malformed(..) => "malformed",
    }
}

impl GossipState {
    pub(super) fn answer(&mut self, from: &AgentId, request: &[u8], now: Instant) -> Vec<u8> {
        let reply = match ExchangeRequest::decode(request) {
            Ok(request) => {
                self.count_exchange("answered");
                self.arguments.snapshots.clocks.received(&request.clock);
                self.apply(from, request.delta, now);

                let (digest, delta) = {
                    let board = self.board();
                    (
                        board.digest(),
                        board.delta_for(&request.digest, DELTA_BYTES),
                    )
                };
                let mut theirs = request.digest;

                if !delta.has_more {
                    theirs.learn(&digest);
                }
                self.spread.heard(from, theirs);
                ExchangeReply::Board {
                    digest,
                    delta,
                    clock: self.arguments.snapshots.clocks.reading(),
                }
            }
            Err(error) => {
                self.count_exchange("refused_malformed");
                tracing::warn!(%from, %error, "refused a board exchange");
                ExchangeReply::Refused(error.to_string())
            }
        };

        reply.encode().unwrap_or_else(|error| {
            tracing::error!(%from, %error, "could not answer a board exchange");
            Vec::new()
        })
    }

    pub(super) fn exchange_ended(
        &mut self,
        with: &AgentId,
        span: (Instant, Instant),
        answer: Result<Vec<u8>, PeerError>,
        now: Instant,
    ) {
        let answer = answer.map_err(|error| (outcome_of(&error), error.to_string()));
        let reply = answer.and_then(|bytes| {
            ExchangeReply::decode(&bytes)
                .map_err(|error| ("malformed_answer", format!("its answer: {error}")))
        });
        let reply = reply.and_then(|reply| match reply {
            ExchangeReply::Board {
                digest,
                delta,
                clock,
            } => Ok((digest, delta, clock)),
            ExchangeReply::Refused(why) => Err(("refused_by_peer", format!("it refused: {why}"))),
        });

        match reply {
            Ok((digest, delta, clock)) => {
                self.count_exchange("ok");
                self.arguments.snapshots.clocks.compared(with, &clock, span);
                if with.region != self.arguments.own.region {
                    self.heard = Some(span.0);
                }

                let has_more = delta.has_more;
                let has_learned = self.apply(with, delta, now);
                let again = (has_more && has_learned) || self.board().has_news_for(&digest);

                self.spread.ended(with, Some(digest), again, now);
            }
            Err((outcome, error)) => {
                self.count_exchange(outcome);
                tracing::debug!(peer = %with, error, "a board exchange failed; trying again in a \
                    second");
                self.spread.ended(with, None, true, now);
            }
        }
    }

    /// Applies the valid entries of a delta; returns whether any was new.
    fn apply(&mut self, from: &AgentId, delta: Delta, now: Instant) -> bool {
        if delta.is_empty() {
            return false;
        }

        let verifier = self.arguments.verifier.clone();
        let alive = self.membership.alive();
        let (
            Applied {
                changes,
                rejected,
                is_outranked,
            },
            agents,
        ) = {
            let mut board = self.arguments.board.lock();

            (
                board.apply(
                    delta,
                    Judge {
                        verifier: &*verifier,
                        alive,
                        now,
                    },
                ),
                board.agent_count(),
            )
        };

        for (reason, count) in rejected {
            self.arguments
                .metrics
                .entries_rejected
                .with_label_values(&[reason.as_str()])
                .inc_by(count);

            tracing::debug!(%from, reason = reason.as_str(), count, "refused board entries");
        }

        if is_outranked {
            tracing::warn!(
                "the mesh has newer entries of this agent: was the clock set back? Signing all \
                    entries again"
            );

            let signer = self.arguments.signer.clone();
            let outcome = self.board().sign_again(&*signer, now).map(|()| true);
            self.published(outcome, now);
        }

        if !changes.is_empty() {
            self.is_view_stale = true;
            self.spread.learned(from, agents, now);
        }

        !changes.is_empty()
    }

    pub(super) fn begin_exchange(
        &mut self,
        me: &ActorRef<GossipMessage>,
        with: AgentId,
        digest: Option<&Digest>,
    ) {
        let request = {
            let board = self.board();
            let delta = digest
                .map(|digest| board.delta_for(digest, DELTA_BYTES))
                .unwrap_or_default();

            ExchangeRequest {
                digest: board.digest(),
                delta,
                clock: self.arguments.snapshots.clocks.reading(),
            }
            .encode()
        };

        let me = me.clone();
        let transport = self.arguments.transport.clone();
        let begun = now();

        self.exchanges.spawn(async move {
            let answer = match request {
                // A second limit, in case the transport does not keep to its timeout.
                Ok(request) => {
                    let exchange = transport.exchange(&with, request, EXCHANGE_TIMEOUT);
                    tokio::time::timeout(EXCHANGE_TIMEOUT * 2, exchange)
                        .await
                        .unwrap_or_else(|_| {
                            Err(PeerError::TimedOut(
                                Peer::Agent(with.clone()),
                                EXCHANGE_TIMEOUT * 2,
                            ))
                        })
                }
                Err(error) => Err(PeerError::Malformed(
                    Peer::Agent(with.clone()),
                    error.to_string(),
                )),
            };

            let span = (begun, Instant::now());
            let _ = me.cast(GossipMessage::ExchangeEnded { with, span, answer });
        });
    }

    fn count_exchange(&self, outcome: &str) {
        self.arguments
            .metrics
            .exchanges
            .with_label_values(&[outcome])
            .inc();
    }
}
