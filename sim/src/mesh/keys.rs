//! Signatures that cost little and depend on the seed alone: a hash under the owner's secret. The
//! chain names the owner; only [`Keys`] knows the secrets, and an agent has its own.

use regionmesh_core::{
    OrderVerifier,
    gossip::{Signer, Verifier},
};
use regionmesh_protocol::{
    identity::{AgentId, MeshName},
    plan::Order,
};

type Secret = [u8; 32];

/// What the operators' secret is derived from: no agent has such a name.
const TOKEN: &[u8] = b"token";

fn secret(owner: &[u8]) -> Secret {
    blake3::derive_key("regionmesh-sim key 1", owner)
}

fn signature(secret: &Secret, message: &[u8]) -> [u8; 32] {
    *blake3::keyed_hash(secret, message).as_bytes()
}

/// The key of one agent.
pub(crate) struct Key {
    chain: Vec<u8>,
    secret: Secret,
}

impl Key {
    pub(crate) fn of(owner: &AgentId) -> Self {
        let chain = owner.to_string().into_bytes();
        let secret = secret(&chain);
        Self { chain, secret }
    }
}

impl Signer for Key {
    fn chain(&self) -> Vec<Vec<u8>> {
        vec![self.chain.clone()]
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, String> {
        Ok(signature(&self.secret, message).to_vec())
    }
}

/// Checks the signatures of all agents.
pub(crate) struct Keys;

impl Verifier for Keys {
    fn check_chain(&self, owner: &AgentId, chain: &[Vec<u8>]) -> Result<(), String> {
        let leaf = chain.first().ok_or("the chain is empty")?;
        if *leaf == owner.to_string().into_bytes() {
            Ok(())
        } else {
            Err(format!("not a certificate of {owner}"))
        }
    }

    fn check_signature(
        &self,
        chain: &[Vec<u8>],
        message: &[u8],
        given: &[u8],
    ) -> Result<(), String> {
        let leaf = chain.first().ok_or("the chain is empty")?;
        if signature(&secret(leaf), message) == *given {
            Ok(())
        } else {
            Err("forged".into())
        }
    }
}

impl OrderVerifier for Keys {
    fn check_order(&self, mesh: &MeshName, order: &Order) -> Result<(), String> {
        order.check_proof(mesh, |message, mac| Ok(operators_mac(message) == *mac))
    }
}

/// The MAC of a message under the operators' token, which no thief has.
pub(crate) fn operators_mac(message: &[u8]) -> [u8; 32] {
    signature(&secret(TOKEN), message)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn no_agent_can_sign_for_another() {
        let thief: AgentId = "r0/a0".parse().unwrap();
        let other: AgentId = "r1/a0".parse().unwrap();
        let stolen = Key::of(&thief);
        let forged = stolen.sign(b"status").unwrap();
        let others_chain = Key::of(&other).chain();

        assert!(Keys.check_chain(&thief, &stolen.chain()).is_ok());
        let own = Keys.check_signature(&stolen.chain(), b"status", &forged);
        assert!(own.is_ok());

        assert!(Keys.check_chain(&other, &stolen.chain()).is_err());
        let others = Keys.check_signature(&others_chain, b"status", &forged);
        assert!(others.is_err());
    }
}
