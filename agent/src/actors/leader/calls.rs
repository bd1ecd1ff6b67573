//! Calls to acceptors and voters, in tasks that report back.

use super::{arguments::LeaderArguments, driver::Driver};
use crate::{actors::messages::LeaderMessage, refusals::reason};
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
/// Most concurrent calls to one acceptor: a slow one gets repeats.
const CALLS_PER_MEMBER: usize = 4;

impl Driver {
    pub(super) fn call_acceptor(&mut self, to: RegionName, request: AcceptorRequest) {
        let calls = self.calls.entry(to.clone()).or_default();
        if *calls >= CALLS_PER_MEMBER {
            return;
        }
        *calls += 1;

        let arguments = self.arguments.clone();
        let myself = self.myself.clone();
        tokio::spawn(async move {
            let asked =
                tokio::time::timeout(CALL_TIMEOUT * 2, ask_acceptor(&arguments, &to, request));
            let answer = asked
                .await
                .unwrap_or_else(|_| Err(format!("no answer within {:?}", CALL_TIMEOUT * 2)));
            let _ = myself.cast(LeaderMessage::AcceptorAnswered { from: to, answer });
        });
    }

    pub(super) fn ask_vote(&self, region: RegionName, ballot: Ballot) {
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

pub(super) async fn ask_acceptor(
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
        // A store observes nothing: it only shows that it is reachable, and which ballot it
        // promised.
        let AcceptorReply::State(state) = ask_acceptor(arguments, region, AcceptorRequest::Read)
            .await?
            .reply
        else {
            return Err("the witness sent an unexpected answer".into());
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
        Ok(_) => Err(format!("{peer} sent an unexpected answer")),
        Err(error) => Err(error.to_string()),
    }
}
