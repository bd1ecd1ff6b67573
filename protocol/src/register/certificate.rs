//! The certificate of a committed plan: signatures of the acceptors that accepted it.
//!
//! An acceptor is a region's store, which has no key. The agent that applied the request to its
//! region's store signs, with the key of its own certificate, once the store has made the
//! acceptance durable. The rule that says which certificates prove a plan is in
//! `regionmesh_core::leader::certificate`.

use crate::{
    identity::{AgentId, AgentName, RegionName},
    register::members::Incarnation,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most acceptances in a certificate that is read: more than a mesh has regions.
pub const ACCEPTANCES_MAX: usize = 64;

/// An agent's signature, with what is needed to check it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentSignature {
    pub agent: AgentId,
    /// Its certificate chain, leaf first, DER.
    pub chain: Vec<Vec<u8>>,
    /// Made with the leaf's key.
    pub signature: Vec<u8>,
}

/// Proof that a region's acceptor accepted a plan, see
/// [`PlanSubject::acceptance`](super::subject::PlanSubject::acceptance).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acceptance {
    /// The acceptor's incarnation when it accepted.
    pub incarnation: Incarnation,
    /// Of an agent of the acceptor's region.
    pub signed: AgentSignature,
}

impl Acceptance {
    /// The acceptor's region.
    pub fn region(&self) -> &RegionName {
        &self.signed.agent.region
    }
}

/// The acceptances of one plan, at most one per region. X.509 certificates that several signers
/// share, those of intermediate authorities, are stored once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// X.509 certificates, DER.
    x509: Vec<Vec<u8>>,
    signatures: BTreeMap<RegionName, CompactAcceptance>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct CompactAcceptance {
    incarnation: Incarnation,
    agent: AgentName,
    /// Indices into `x509`, leaf first.
    chain: Vec<u16>,
    signature: Vec<u8>,
}

impl Certificate {
    /// How many regions signed, validly or not.
    pub fn len(&self) -> usize {
        self.signatures.len()
    }

    /// Whether no region signed.
    pub fn is_empty(&self) -> bool {
        self.signatures.is_empty()
    }

    /// The regions that signed, and their acceptors' incarnations, as claimed.
    pub fn incarnations(&self) -> BTreeMap<RegionName, Incarnation> {
        let claimed = self.signatures.iter();
        claimed
            .map(|(region, signed)| (region.clone(), signed.incarnation))
            .collect()
    }

    /// The agents that signed, as claimed.
    pub fn agents(&self) -> impl Iterator<Item = AgentId> {
        self.signatures.iter().map(|(region, signed)| AgentId {
            region: region.clone(),
            agent: signed.agent.clone(),
        })
    }

    /// Every acceptance. The chain of one that refers to certificates that are not there is
    /// incomplete, and so not valid.
    pub fn acceptances(&self) -> impl Iterator<Item = Acceptance> {
        self.signatures.iter().map(|(region, compact)| {
            let known = |index: &u16| self.x509.get(usize::from(*index)).cloned();
            let agent = AgentId {
                region: region.clone(),
                agent: compact.agent.clone(),
            };

            Acceptance {
                incarnation: compact.incarnation,
                signed: AgentSignature {
                    agent,
                    chain: compact.chain.iter().filter_map(known).collect(),
                    signature: compact.signature.clone(),
                },
            }
        })
    }
}

impl FromIterator<Acceptance> for Certificate {
    /// Of several acceptances of one region, the last counts.
    fn from_iter<T: IntoIterator<Item = Acceptance>>(acceptances: T) -> Self {
        let by_region: BTreeMap<RegionName, Acceptance> = acceptances
            .into_iter()
            .map(|acceptance| (acceptance.region().clone(), acceptance))
            .collect();
        let mut certificate = Self::default();

        for (
            region,
            Acceptance {
                incarnation,
                signed,
            },
        ) in by_region
        {
            let chain = signed.chain.into_iter();
            let chain = chain.filter_map(|der| certificate.index_of(der)).collect();
            let compact = CompactAcceptance {
                incarnation,
                agent: signed.agent.agent,
                chain,
                signature: signed.signature,
            };

            certificate.signatures.insert(region, compact);
        }

        certificate
    }
}

impl Certificate {
    /// The place of an X.509 certificate, which is added if it is new; none if there are too many.
    fn index_of(&mut self, der: Vec<u8>) -> Option<u16> {
        let known = self.x509.iter().position(|known| *known == der);
        let index = known.unwrap_or(self.x509.len());
        let place = u16::try_from(index).ok()?;

        if known.is_none() {
            self.x509.push(der);
        }
        Some(place)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
