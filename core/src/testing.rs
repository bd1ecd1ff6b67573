//! What the tests of several parts share.

use crate::{
    gossip::{Signer, Verifier},
    keys::OrderVerifier,
    planning::{PlanSettings, RegionSettings, Strategy},
    recovery::ramp::RecoveryPolicy,
};
use regionmesh_protocol::{
    identity::{AgentId, MeshName},
    plan::{Order, OrderProof},
};

/// Settings with which all of these regions share the traffic, from one address each.
pub(crate) fn plan_settings(regions: &[&str]) -> PlanSettings {
    let region = |name: &&str| {
        let settings = RegionSettings {
            weight_bp: 10_000,
            priority: 0,
            addresses: vec!["127.0.0.1".parse().unwrap()],
            capacity_rps: None,
        };
        (name.parse().unwrap(), settings)
    };

    PlanSettings {
        regions: regions.iter().map(region).collect(),
        strategy: Strategy::Weighted,
        suspect_percent: 10,
        recovery: RecoveryPolicy::default(),
        max_out: 1,
        ttl_ms: 5_000,
        is_serving_embedded: true,
        judges_each_address: true,
        has_inference_probes: false,
        measured_capacity: false,
        shifts_for_cost: false,
    }
}

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
        match chain {
            [leaf] if leaf.starts_with(format!("{owner}#").as_bytes()) => Ok(()),
            _ => Err("another's".into()),
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
    /// An owner's later keys begin to be valid later. None ends soon.
    fn validity_ms(&self, chain: &[Vec<u8>]) -> Option<(u64, u64)> {
        let (_, number) = str::from_utf8(chain.first()?).ok()?.rsplit_once('#')?;
        Some((number.parse().ok()?, u64::MAX))
    }
}

impl OrderVerifier for Toy {
    fn check_order(&self, _mesh: &MeshName, order: &Order) -> Result<(), String> {
        match &order.proof {
            Some(proof) if proof.mac == [1; 32] => Ok(()),
            _ => Err("not proven".into()),
        }
    }
}

/// A proof that [`Toy`] believes, of an order given at this time.
pub(crate) fn proof(given_ms: u64, nonce: u8) -> OrderProof {
    OrderProof {
        agent: "eu-west-1/a".parse().unwrap(),
        given_ms,
        nonce: [nonce; 16],
        mac: [1; 32],
    }
}
