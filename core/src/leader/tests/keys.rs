//! Toy keys: the chain names its owner, a signature is a hash under a secret that only tests know.

use crate::gossip::{Signer, Verifier};
use regionmesh_protocol::identity::AgentId;

pub(in crate::leader) struct Key(pub(in crate::leader) AgentId);

fn toy_signature(leaf: &[u8], message: &[u8]) -> Vec<u8> {
    blake3::hash(&[b"secret", leaf, message].concat())
        .as_bytes()
        .to_vec()
}

impl Signer for Key {
    fn chain(&self) -> Vec<Vec<u8>> {
        vec![self.0.to_string().into_bytes()]
    }
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, String> {
        Ok(toy_signature(&self.chain()[0], message))
    }
}

pub(in crate::leader) struct Toy;

impl Verifier for Toy {
    fn check_chain(&self, owner: &AgentId, chain: &[Vec<u8>]) -> Result<(), String> {
        match chain {
            [leaf] if *leaf == owner.to_string().into_bytes() => Ok(()),
            _ => Err("another's".into()),
        }
    }
    fn check_signature(
        &self,
        chain: &[Vec<u8>],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), String> {
        if toy_signature(&chain[0], message) == signature {
            Ok(())
        } else {
            Err("forged".into())
        }
    }
    /// The longer a chain, the later its leaf begins to be valid. None ends soon.
    fn validity_ms(&self, chain: &[Vec<u8>]) -> Option<(u64, u64)> {
        Some((chain.len() as u64, u64::MAX))
    }
}
