//! Answers requests of peers from our own actors, after checking that the caller is authorised.
//!
//! The caller is the agent in the certificate of its connection. It may use an acceptor only under
//! its own ballots. An order needs the proof of an operator's token ([`crate::operators`]): an
//! agent forwards orders, but can't authorise them. Each refusal is counted and audited
//! ([`crate::refusals`]).

use crate::{
    actors::messages::{CoreMessage, LeaderMessage},
    address::Address,
    catalogue_pages::CataloguePages,
    failover::{HOPS, OrderHandler},
    operators::Operators,
    refusals::{Refusals, reason},
};
use async_trait::async_trait;
use regionmesh_mesh::PeerService;
use regionmesh_protocol::{
    identity::AgentId,
    plan::Order,
    register::{
        acceptor::{AcceptorReply, AcceptorRequest},
        prevote::PreVoteRequest,
    },
    wire::{Attested, OrderOrigin, PeerRefusal, PeerReply, PeerRequest},
};
use regionmesh_replication::Publisher;
use std::time::Duration;

/// Timeout of our own actors for a peer's request.
const LOCAL_TIMEOUT: Duration = Duration::from_secs(8);

/// Handles requests of peers.
pub(crate) struct RequestHandler {
    /// Our own core.
    pub core: Address<CoreMessage>,
    /// Our region's acceptor.
    pub leader: Address<LeaderMessage>,
    /// Forwards orders.
    pub orders: OrderHandler,
    /// Our region's catalogue.
    pub pages: CataloguePages,
    /// Knows the uploads in progress here.
    pub publisher: Publisher,
    /// Checks proofs.
    pub operators: Operators,
    /// Counts what is refused.
    pub refusals: Refusals,
}

#[async_trait]
impl PeerService for RequestHandler {
    async fn answer(&self, caller: &AgentId, request: PeerRequest) -> PeerReply {
        match request {
            PeerRequest::Attested(attested) => self.attested(caller, &attested).await,
            PeerRequest::Order { order, .. } => {
                self.refused(caller, PeerRefusal::NoProof, &in_words(&order))
            }
            request => self.plain(caller, request).await,
        }
    }

    fn refuse(&self, caller: Option<&AgentId>, why: &str) -> PeerReply {
        match caller {
            Some(caller) => {
                self.refusals
                    .refuse(&caller.to_string(), reason::MALFORMED, why);
                PeerReply::Failed(why.into())
            }
            None => {
                self.refusals.refuse(
                    "an agent without a name",
                    PeerRefusal::NoCaller.reason(),
                    why,
                );

                PeerReply::Refused(PeerRefusal::NoCaller)
            }
        }
    }
}

impl RequestHandler {
    fn refused(&self, caller: &AgentId, why: PeerRefusal, what: &str) -> PeerReply {
        self.refusals
            .refuse(&caller.to_string(), why.reason(), &format!("{what}: {why}"));
        PeerReply::Refused(why)
    }

    /// Requests that any agent may send.
    async fn plain(&self, caller: &AgentId, request: PeerRequest) -> PeerReply {
        if let Some(why) = request.others_ballot(caller) {
            return self.refused(caller, why, "the register");
        }

        match request {
            PeerRequest::Acceptor(request) => self.acceptor(caller, request).await,
            PeerRequest::PreVote(request) => self.vote(request).await,
            PeerRequest::CataloguePage { digest, offset } => self.pages.page(digest, offset),
            PeerRequest::Publication(published) => {
                let rival = tokio::time::timeout(
                    LOCAL_TIMEOUT,
                    self.publisher.conflicting_version(&published),
                )
                .await;
                match rival {
                    Ok(Ok(rival)) => PeerReply::Rival(rival),
                    Ok(Err(error)) => PeerReply::Failed(error.to_string()),
                    Err(_) => PeerReply::Failed(format!(
                        "the region's store did not answer within {LOCAL_TIMEOUT:?}"
                    )),
                }
            }
            PeerRequest::Order { .. } | PeerRequest::Attested(_) => {
                self.refuse(Some(caller), "a request within another one")
            }
        }
    }

    async fn acceptor(&self, caller: &AgentId, request: AcceptorRequest) -> PeerReply {
        let asked = request.reach();
        let answer = self
            .leader
            .call(
                |reply| LeaderMessage::Acceptor(request, reply),
                LOCAL_TIMEOUT,
            )
            .await;

        match answer {
            Ok(Ok(answer)) => {
                match &answer.reply {
                    AcceptorReply::TooFar(reach) => {
                        let what =
                            format!("asked for {asked}, and no majority is known beyond {reach}");
                        self.refusals
                            .refuse(&caller.to_string(), reason::BALLOT_TOO_FAR, &what);
                    }
                    // Usual when a region returns to the mesh: counted, but not a problem.
                    AcceptorReply::Undecided(_) => {
                        self.refusals.count_one(reason::JOIN_NOT_DECIDED)
                    }
                    _ => {}
                }

                PeerReply::Acceptor(answer)
            }
            Ok(Err(error)) => PeerReply::Failed(error),
            Err(error) => PeerReply::Failed(error.to_string()),
        }
    }

    async fn vote(&self, request: PreVoteRequest) -> PeerReply {
        let asked = |reply| CoreMessage::PreVote(request, reply);
        let answer = self.core.call(asked, LOCAL_TIMEOUT).await;

        answer.map_or_else(
            |error| PeerReply::Failed(error.to_string()),
            PeerReply::PreVote,
        )
    }

    /// A request with proof, possibly an order; the answer carries proof as well.
    async fn attested(&self, caller: &AgentId, attested: &Attested) -> PeerReply {
        let (request, key) = match self.operators.check(attested, caller).await {
            Ok(checked) => checked,
            Err(why) => return self.refused(caller, why, "an attested request"),
        };
        let reply = match request {
            PeerRequest::Order { order, hops_left } => {
                self.order(caller, attested, order, hops_left).await
            }
            request => self.plain(caller, request).await,
        };

        self.operators
            .attest_reply(&key, attested, &reply)
            .unwrap_or_else(PeerReply::Failed)
    }

    async fn order(
        &self,
        caller: &AgentId,
        attested: &Attested,
        order: Order,
        hops_left: u8,
    ) -> PeerReply {
        let what = in_words(&order);
        let Some(origin) = attested.origin.clone() else {
            return self.refused(caller, PeerRefusal::NoProof, &what);
        };

        if let Err(why) = self.operators.take(attested) {
            return self.refused(caller, why, &what);
        }

        let OrderOrigin { operator, agent } = &origin;
        tracing::info!(
            target: "regionmesh::audit",
            peer = %caller,
            ?operator,
            taken_by = %agent,
            order = ?what,
            "order from a peer"
        );
        PeerReply::Order(
            self.orders
                .hand_on(order, hops_left.min(HOPS), origin)
                .await,
        )
    }
}

fn in_words(order: &Order) -> String {
    let Order {
        action,
        region,
        by,
        why,
        ..
    } = order;
    let region = region
        .as_ref()
        .map_or("the whole mesh", |region| region.as_str());

    format!("order {action:?} for {region} by {by:?} ({why:?})")
}
