//! Proof that a request between agents was authorised by an operator's token.
//!
//! A certificate identifies the calling agent, but does not prove an operator's intent: orders, and
//! reports of what a region holds, need the operators' token as well. All agents know it
//! (`api.token_file`), so requests and answers carry an HMAC under a key derived from it. An
//! attacker with an agent's certificate and key, but not its token, can forge neither. The token
//! itself is never sent; it must be random, since a MAC allows guesses to be tested offline.
//!
//! Each proof reads the file named in the current configuration ([`crate::reload`]), so neither a
//! new token nor another file needs a restart. Agents with different tokens refuse each other's
//! orders and catalogues, visibly; nothing is lost.

pub(crate) mod link;

use crate::{config::Config, tokens};
use aws_lc_rs::hmac;
use parking_lot::Mutex;
use regionmesh_core::{OrderVerifier, leader::proof::UsedProofs};
use regionmesh_protocol::{
    codec,
    identity::{AgentId, MeshName},
    plan::Order,
    wire::{Attested, OrderOrigin, PeerRefusal, PeerReply, PeerRequest},
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::sync::watch;

/// The context of the key derivation.
const KEY: &str = "regionmesh key of attested calls, made of an operator's token, 1";

/// Creates and checks proofs. Clones share the record of used proofs.
#[derive(Debug, Clone)]
pub(crate) struct Operators {
    mesh: MeshName,
    id: AgentId,
    /// The configuration in force: a reload can change the token's file.
    live: watch::Receiver<Arc<Config>>,
    used: Arc<Mutex<UsedProofs>>,
}

/// A key derived from a token.
#[derive(Debug, Clone)]
pub(crate) struct OperatorKey(hmac::Key);

impl OperatorKey {
    fn of(token: &str) -> Self {
        Self(hmac::Key::new(
            hmac::HMAC_SHA256,
            &blake3::derive_key(KEY, token.as_bytes()),
        ))
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 32], String> {
        hmac::sign(&self.0, message)
            .as_ref()
            .try_into()
            .map_err(|_| "the MAC is not 32 bytes long".into())
    }

    fn is_valid(&self, message: &[u8], mac: &[u8]) -> bool {
        hmac::verify(&self.0, message, mac).is_ok()
    }
}

impl Operators {
    /// Proofs of agent `id` by the token in `api.token_file` of the configuration in force.
    pub(crate) fn new(mesh: MeshName, id: AgentId, live: watch::Receiver<Arc<Config>>) -> Self {
        Self {
            mesh,
            id,
            live,
            used: Arc::default(),
        }
    }

    /// Whether this agent has a token: without one it can't distinguish an operator's order from a
    /// peer's claim.
    pub(crate) fn has_token(&self) -> bool {
        self.live.borrow().api.token_file.is_some()
    }

    /// This agent.
    pub(crate) fn id(&self) -> &AgentId {
        &self.id
    }

    /// The keys of the tokens in this agent's file, in order. The first one signs, all are
    /// accepted: during a rotation, agents accept each other's proofs as long as their files
    /// contain the signer's token.
    async fn keys(&self) -> Result<Vec<OperatorKey>, String> {
        let path = self.token_file()?;
        let text = tokens::read(&path).await?;
        keys_of(&text, &path)
    }

    /// The key that signs.
    pub(crate) async fn key(&self) -> Result<OperatorKey, String> {
        self.keys()
            .await?
            .into_iter()
            .next()
            .ok_or_else(|| "the token file is empty".into())
    }

    /// An order that this agent's API received, with the proof that every agent checks that judges
    /// a plan with it.
    pub(crate) async fn prove(&self, order: Order) -> Result<Order, String> {
        let key = self.key().await?;
        let given_ms = regionmesh_runtime::time::unix_ms();
        let nonce = rand::random();
        let sign = |message: &[u8]| key.sign(message);
        order.proven(&self.mesh, self.id.clone(), given_ms, nonce, sign)
    }

    fn token_file(&self) -> Result<PathBuf, String> {
        let path = self.live.borrow().api.token_file.clone();
        path.ok_or_else(|| "no api.token_file is configured".into())
    }

    /// A request with its proof.
    pub(crate) async fn attest(
        &self,
        request: &PeerRequest,
        origin: Option<OrderOrigin>,
    ) -> Result<(Attested, OperatorKey), String> {
        let key = self.key().await?;
        let request = codec::encode(request).map_err(|error| error.to_string())?;
        let sent_ms = regionmesh_runtime::time::unix_ms();
        let nonce = rand::random();
        let mut attested = Attested {
            request,
            origin,
            sent_ms,
            nonce,
            mac: [0; 32],
        };

        let message = attested
            .message(&self.mesh, &self.id)
            .map_err(|error| error.to_string())?;
        attested.mac = key.sign(&message)?;
        Ok((attested, key))
    }

    /// Checks the proof of a request from `caller`; returns the request and the key for the answer.
    pub(crate) async fn check(
        &self,
        attested: &Attested,
        caller: &AgentId,
    ) -> Result<(PeerRequest, OperatorKey), PeerRefusal> {
        let keys = self.keys().await.map_err(PeerRefusal::NoToken)?;
        let message = attested
            .message(&self.mesh, caller)
            .map_err(|_| PeerRefusal::WrongProof)?;
        let signer = keys
            .into_iter()
            .find(|key| key.is_valid(&message, &attested.mac));
        let key = signer.ok_or(PeerRefusal::WrongProof)?;
        let request = codec::decode(&attested.request).map_err(|_| PeerRefusal::WrongProof)?;

        Ok((request, key))
    }

    /// Accepts an order with a valid proof once, and only while it is recent.
    pub(crate) fn take(&self, attested: &Attested) -> Result<(), PeerRefusal> {
        let mut used = self.used.lock();
        used.take(
            attested.nonce,
            attested.sent_ms,
            regionmesh_runtime::time::unix_ms(),
        )
    }

    /// An answer with its proof.
    pub(crate) fn attest_reply(
        &self,
        key: &OperatorKey,
        attested: &Attested,
        reply: &PeerReply,
    ) -> Result<PeerReply, String> {
        let reply = codec::encode(reply).map_err(|error| error.to_string())?;
        let message = Attested::reply_message(&self.mesh, &attested.nonce, &reply)
            .map_err(|error| error.to_string())?;
        let mac = key.sign(&message)?;
        Ok(PeerReply::Attested { reply, mac })
    }

    /// The answer in a reply to our own request, if its proof is valid.
    pub(crate) fn check_reply(
        &self,
        key: &OperatorKey,
        attested: &Attested,
        reply: PeerReply,
    ) -> Result<PeerReply, String> {
        match reply {
            PeerReply::Attested { reply, mac } => {
                let message = Attested::reply_message(&self.mesh, &attested.nonce, &reply)
                    .map_err(|error| error.to_string())?;
                if !key.is_valid(&message, &mac) {
                    return Err("its proof is wrong".into());
                }
                codec::decode(&reply).map_err(|error| error.to_string())
            }
            // Errors change no state, so they need no proof.
            PeerReply::Failed(why) => Ok(PeerReply::Failed(why)),
            PeerReply::Refused(why) => Ok(PeerReply::Refused(why)),
            _ => Err("it carries no proof".into()),
        }
    }
}

impl OrderVerifier for Operators {
    /// Reads the token file, a few lines, without waiting for other tasks: plans with new orders
    /// are rare.
    fn check_order(&self, mesh: &MeshName, order: &Order) -> Result<(), String> {
        order.check_proof(mesh, |message, mac| {
            let path = self.token_file()?;
            let text = std::fs::read_to_string(&path).map_err(|error| error.to_string())?;
            let keys = keys_of(&text, &path)?;
            Ok(keys.iter().any(|key| key.is_valid(message, mac)))
        })
    }
}

/// The keys of the tokens in the file at `path`, which has this text.
fn keys_of(text: &str, path: &Path) -> Result<Vec<OperatorKey>, String> {
    let known = tokens::parse(text)
        .map_err(|error| format!("the token file {} {error}", path.display()))?;
    let tokens = known.into_iter().map(|(_, token)| token);
    Ok(tokens.map(OperatorKey::of).collect())
}

#[cfg(test)]
mod tests;
