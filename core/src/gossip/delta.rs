//! The messages of a board exchange.

use super::digest::Digest;
use crate::gossip::skew::ClockReading;
use regionmesh_protocol::{
    codec::{self, CodecError},
    status::entry::Entry,
};
use serde::{Deserialize, Serialize};

/// Most owners that a peer's digest may name: every agent of the largest mesh and as many forgotten
/// ones, with room to spare.
const DIGEST_OWNERS_MAX: usize = 8 * 1024;

/// Entries that a peer lacks; those of one owner in the order of their versions, so that a
/// certificate always precedes the entries that it vouches for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delta {
    pub entries: Vec<Entry>,
    /// Whether more is left than fitted: exchange again immediately.
    pub has_more: bool,
}

impl Delta {
    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// Opens an exchange.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExchangeRequest {
    /// What the asker holds.
    pub digest: Digest,
    /// What the other side lacks, by the last digest that the asker saw.
    pub delta: Delta,
    /// What the asker's clocks show.
    pub clock: ClockReading,
}

/// Answers an [`ExchangeRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExchangeReply {
    /// The request was applied, as far as its entries were valid.
    Board {
        /// What the answerer holds now.
        digest: Digest,
        /// What the asker lacks.
        delta: Delta,
        /// What the answerer's clocks show.
        clock: ClockReading,
    },
    /// The request could not be read; why.
    Refused(String),
}

impl ExchangeRequest {
    /// For the wire.
    pub fn encode(&self) -> Result<Vec<u8>, CodecError> {
        codec::encode_document(self)
    }

    /// From the wire.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let request: Self = codec::decode_document(bytes)?;
        check_digest(&request.digest)?;
        Ok(request)
    }
}

impl ExchangeReply {
    /// For the wire.
    pub fn encode(&self) -> Result<Vec<u8>, CodecError> {
        codec::encode_document(self)
    }

    /// From the wire.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let reply: Self = codec::decode_document(bytes)?;
        if let Self::Board { digest, .. } = &reply {
            check_digest(digest)?;
        }
        Ok(reply)
    }
}

fn check_digest(digest: &Digest) -> Result<(), CodecError> {
    if digest.owners.len() > DIGEST_OWNERS_MAX {
        let count = digest.owners.len();
        return Err(CodecError::Malformed(format!(
            "a digest of {count} owners, the limit is {DIGEST_OWNERS_MAX}"
        )));
    }

    Ok(())
}
