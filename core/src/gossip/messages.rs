//! The messages of a board exchange.
//!
//! To compare two boards takes up to three exchanges: the hashes of the branches, answered by the
//! leaves of those that differ; the digests of the owners in leaves that differ, answered by those
//! of the other side and what the asker lacks; and what the answerer lacks. A mesh of a few dozen
//! agents begins with the second.

use super::{
    delta::Delta,
    digest::Digest,
    skew::ClockReading,
    tree::{Hashes, Leaves},
};
use regionmesh_protocol::{
    codec::{self, CodecError},
    identity::AgentId,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;

/// First byte of a message: the version of the format.
const VERSION: u8 = 2;
/// Most owners that a peer's digest may name: every agent of the largest mesh and as many forgotten
/// ones, with room to spare.
const DIGEST_OWNERS_MAX: usize = 8 * 1024;
/// Most agents that a request names as having received the same entries.
const RECIPIENTS_MAX: usize = 16;

/// Opens an exchange.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExchangeRequest {
    /// What the asker's clocks show.
    pub clock: ClockReading,
    /// News, and what the other side lacks as far as the asker knows.
    pub delta: Delta,
    /// Who else the asker sends these entries to, so that they are not relayed there.
    pub recipients: Vec<AgentId>,
    pub compare: Compare,
}

/// What the answerer shall compare, once it has applied the entries.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Compare {
    #[default]
    Nothing,
    /// The hashes of all branches.
    Branches(Hashes),
    /// All that the asker holds in these leaves.
    Owners { leaves: Leaves, digest: Digest },
}

/// The result of a comparison.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Comparison {
    /// Nothing was compared.
    Nothing,
    Equal,
    /// The leaves of the branches that differ.
    Leaves(BTreeMap<u8, Hashes>),
    Owners {
        /// What the answerer holds now in the leaves that were asked for.
        digest: Digest,
        /// What the asker lacks of it.
        delta: Delta,
    },
}

/// Answers an [`ExchangeRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExchangeReply {
    /// The request was applied, as far as its entries were valid.
    Board {
        /// What the answerer's clocks show.
        clock: ClockReading,
        comparison: Comparison,
    },
    /// The request could not be read; why.
    Refused(String),
}

impl ExchangeRequest {
    /// For the wire.
    pub fn encode(&self) -> Result<Vec<u8>, CodecError> {
        encode(self)
    }

    /// From the wire.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let request: Self = decode(bytes)?;
        check("recipients", request.recipients.len(), RECIPIENTS_MAX)?;
        if let Compare::Owners { digest, .. } = &request.compare {
            check("owners", digest.owners.len(), DIGEST_OWNERS_MAX)?;
        }
        Ok(request)
    }
}

impl ExchangeReply {
    /// For the wire.
    pub fn encode(&self) -> Result<Vec<u8>, CodecError> {
        encode(self)
    }

    /// From the wire.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let reply: Self = decode(bytes)?;
        if let Self::Board {
            comparison: Comparison::Owners { digest, .. },
            ..
        } = &reply
        {
            check("owners", digest.owners.len(), DIGEST_OWNERS_MAX)?;
        }
        Ok(reply)
    }
}

fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, CodecError> {
    let mut bytes = vec![VERSION];
    bytes.extend(codec::encode_document(message)?);
    Ok(bytes)
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    match bytes.split_first() {
        Some((&VERSION, message)) => codec::decode_document(message),
        Some((version, _)) => Err(CodecError::Malformed(format!(
            "a board exchange of version {version}, this agent knows version {VERSION}"
        ))),
        None => Err(CodecError::Malformed("an empty board exchange".into())),
    }
}

fn check(what: &str, count: usize, limit: usize) -> Result<(), CodecError> {
    if count > limit {
        return Err(CodecError::Malformed(format!(
            "{count} {what}, the limit is {limit}"
        )));
    }

    Ok(())
}
