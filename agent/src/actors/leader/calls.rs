//! Calls to acceptors and voters.

use super::arguments::LeaderArguments;
use crate::{actors::messages::Call, refusals::reason};
use regionmesh_core::leader::{Input, election::witness_vote};
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

/// Makes a call and returns its answer.
pub(super) async fn make(call: Call, arguments: LeaderArguments) -> Input {
    match call {
        Call::Acceptor(to, request) => {
            let answer = ask_acceptor_in_time(&arguments, &to, *request).await;
            Input::AcceptorAnswered { from: to, answer }
        }
        Call::Read(from, round) => {
            let answer = ask_acceptor_in_time(&arguments, &from, AcceptorRequest::Read).await;
            Input::AcceptorRead {
                round,
                from,
                answer,
            }
        }
        Call::Vote(from, ballot) => {
            let asked = ask_voter(&arguments, &from, &ballot);
            let vote = tokio::time::timeout(CALL_TIMEOUT, asked)
                .await
                .unwrap_or_else(|_| Err(format!("no vote within {CALL_TIMEOUT:?}")));
            Input::Voted { from, ballot, vote }
        }
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
        let answer = arguments
            .store
            .apply(&request)
            .await
            .map_err(|error| error.to_string())?;
        return arguments.signing.sign(&request, answer);
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
    let asked = PeerRequest::Acceptor(request.clone());
    match arguments.peers.call(&peer, asked, CALL_TIMEOUT).await {
        Ok(PeerReply::Acceptor(answer)) => arguments
            .signing
            .check(to, &request, answer)
            .inspect_err(|why| {
                let refusals = &arguments.refusals;
                refusals.refuse(to.as_str(), reason::ANSWER_NOT_PROVEN, why);
            }),
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
