//! What the tests of several parts share.

use crate::gossip::{Signer, Verifier};
use regionmesh_protocol::identity::AgentId;

/// A toy key: the "chain" names owner and key, a signature is a hash under a secret that only tests
/// know.
pub(crate) struct Key(pub(crate) AgentId, pub(crate) u32);

fn toy_signature(leaf: &[u8], message: &[u8]) -> Vec<u8> {
    blake3::hash(&[b"secret", leaf, message].concat())
        .as_bytes()
        .to_vec()
}

impl Signer for Key {
    fn chain(&self) -> Vec<Vec<u8>> {
        vec![format!("{}#{}", self.0, self.1).into_bytes()]
    }
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, String> {
        Ok(toy_signature(&self.chain()[0], message))
    }
}

/// Verifies toy keys.
pub(crate) struct Toy;

impl Verifier for Toy {
    fn check_chain(&self, owner: &AgentId, chain: &[Vec<u8>]) -> Result<(), String> {
        let leaf = chain.first().ok_or("empty")?;
        if leaf.starts_with(format!("{owner}#").as_bytes()) {
            Ok(())
        } else {
            Err("another's".into())
        }
    }
    fn check_signature(
        &self,
        chain: &[Vec<u8>],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), String> {
        let leaf = chain.first().ok_or("empty")?;
        if toy_signature(leaf, message) == signature {
            Ok(())
        } else {
            Err("forged".into())
        }
    }
}
