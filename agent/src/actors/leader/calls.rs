//! Calls to acceptors and voters, in tasks that report back.

use super::arguments::LeaderArguments;
use crate::actors::messages::LeaderMessage;
use ractor::ActorRef;
use regionmesh_core::leader::election::witness_vote;
use regionmesh_mesh::Peer;
use regionmesh_protocol::{
    identity::RegionName,
    register::{
        acceptor::{AcceptorAnswer, AcceptorReply, AcceptorRequest},
        ballot::{Ballot, WITNESS},
        prevote::{PreVoteReply, PreVoteRequest},
    },
    wire::{PeerReply, PeerRequest},
};
use std::time::Duration;

/// How long a call to an acceptor or a voter may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);

/// Makes calls, and sends the answers to the actor.
pub(super) struct Calls {
    pub(super) arguments: LeaderArguments,
    pub(super) myself: ActorRef<LeaderMessage>,
}

impl Calls {
    pub(super) fn acceptor(&self, to: RegionName, request: AcceptorRequest) {
        let arguments = self.arguments.clone();
        let myself = self.myself.clone();
        tokio::spawn(async move {
            let answer = ask_acceptor_in_time(&arguments, &to, request).await;
            let _ = myself.cast(LeaderMessage::AcceptorAnswered { from: to, answer });
        });
    }

    pub(super) fn read(&self, round: u64, from: RegionName) {
        let arguments = self.arguments.clone();
        let myself = self.myself.clone();
        tokio::spawn(async move {
            let answer = ask_acceptor_in_time(&arguments, &from, AcceptorRequest::Read).await;
            let _ = myself.cast(LeaderMessage::AcceptorRead {
                round,
                from,
                answer,
            });
        });
    }

    pub(super) fn vote(&self, region: RegionName, ballot: Ballot) {
        let arguments = self.arguments.clone();
        let myself = self.myself.clone();
        tokio::spawn(async move {
            let asked = tokio::time::timeout(CALL_TIMEOUT, ask_voter(&arguments, &region, &ballot));
            let vote = asked
                .await
                .unwrap_or_else(|_| Err(format!("no vote within {CALL_TIMEOUT:?}")));
            let _ = myself.cast(LeaderMessage::Voted {
                from: region,
                ballot,
                vote,
            });
        });
    }
}

async fn ask_acceptor_in_time(
    arguments: &LeaderArguments,
    to: &RegionName,
    request: AcceptorRequest,
) -> Result<AcceptorAnswer, String> {
    tokio::time::timeout(CALL_TIMEOUT * 2, ask_acceptor(arguments, to, request))
        .await
        .unwrap_or_else(|_| Err(format!("no answer within {:?}", CALL_TIMEOUT * 2)))
}

async fn ask_acceptor(
    arguments: &LeaderArguments,
    to: &RegionName,
    request: AcceptorRequest,
) -> Result<AcceptorAnswer, String> {
    if *to == arguments.id.region {
        return arguments
            .store
            .apply(&request)
            .await
            .map_err(|error| error.to_string());
    }

    if to.as_str() == WITNESS {
        let witness = arguments
            .witness
            .as_ref()
            .ok_or("the register has a witness, and none is configured here")?;

        return witness
            .apply(&request)
            .await
            .map_err(|error| error.to_string());
    }

    let peer = Peer::Region(to.clone());
    match arguments
        .peers
        .call(&peer, PeerRequest::Acceptor(request), CALL_TIMEOUT)
        .await
    {
        Ok(PeerReply::Acceptor(reply)) => Ok(reply),
        Ok(PeerReply::Failed(error)) => Err(error),
        Ok(PeerReply::Refused(why)) => Err(why.to_string()),
        Ok(_) => Err(format!("{peer} sent an unexpected answer")),
        Err(error) => Err(error.to_string()),
    }
}

async fn ask_voter(
    arguments: &LeaderArguments,
    region: &RegionName,
    ballot: &Ballot,
) -> Result<PreVoteReply, String> {
    if region.as_str() == WITNESS {
        let answer = ask_acceptor(arguments, region, AcceptorRequest::Read).await?;
        let AcceptorReply::State(state) = answer.reply else {
            return Err("the witness sent an unexpected answer".into());
        };

        return Ok(witness_vote(&state, ballot));
    }

    let peer = Peer::Region(region.clone());
    let request = PeerRequest::PreVote(PreVoteRequest {
        ballot: ballot.clone(),
    });

    match arguments.peers.call(&peer, request, CALL_TIMEOUT).await {
        Ok(PeerReply::PreVote(reply)) => Ok(reply),
        Ok(PeerReply::Failed(error)) => Err(error),
        Ok(PeerReply::Refused(why)) => Err(why.to_string()),
        Ok(_) => Err(format!("{peer} sent an unexpected answer")),
        Err(error) => Err(error.to_string()),
    }
}
