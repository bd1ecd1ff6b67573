//! What the leader asks acceptors and voters, and how their answers are read.

use super::LeaderArguments;
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
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) async fn ask_acceptor(
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
        Ok(_) => Err(format!("{peer} answered another question")),
        Err(error) => Err(error.to_string()),
    }
}

pub(super) async fn ask_voter(
    arguments: &LeaderArguments,
    region: &RegionName,
    ballot: &Ballot,
) -> Result<PreVoteReply, String> {
    if region.as_str() == WITNESS {
        // A store has no eyes: it says whether it can be reached, and which ballot it promised.
        let AcceptorReply::State(state) = ask_acceptor(arguments, region, AcceptorRequest::Read)
            .await?
            .reply
        else {
            return Err("the witness answered another question".into());
        };
        let highest = state.highest().cloned();
        let is_granted = highest.as_ref() < Some(ballot);

        return Ok(PreVoteReply {
            is_granted,
            highest,
            reason: "the witness promised a higher ballot".into(),
        });
    }

    let peer = Peer::Region(region.clone());
    let request = PeerRequest::PreVote(PreVoteRequest {
        ballot: ballot.clone(),
    });

    match arguments.peers.call(&peer, request, CALL_TIMEOUT).await {
        Ok(PeerReply::PreVote(reply)) => Ok(reply),
        Ok(PeerReply::Failed(error)) => Err(error),
        Ok(PeerReply::Refused(why)) => Err(why.to_string()),
        Ok(_) => Err(format!("{peer} answered another question")),
        Err(error) => Err(error.to_string()),
    }
}
