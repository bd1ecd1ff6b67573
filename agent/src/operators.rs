//! Proof that an operator's token stands behind what one agent asks of another.
//!
//! A certificate says which agent speaks. It does not say that an operator wants something: orders,
//! and what a region says that it holds, need the operators' token as well. All agents know it
//! (`api.token_file`), so a request carries an HMAC under a key made of it, and so does the answer.
//! Who holds one agent's certificate and key, and not its token, can make neither. The token itself
//! is never sent; it must be random, since a MAC lets whoever sees it try tokens out.
//!
//! Each proof reads the file that the current configuration names ([`crate::reload`]), so neither a
//! new token nor another file needs a restart. While agents have different tokens they refuse each
//! other's orders and catalogues, visibly; nothing is lost.

pub mod link;

use crate::{config::Config, tokens};
use aws_lc_rs::hmac;
use regionmesh_core::leader::proof::UsedProofs;
use regionmesh_protocol::{
    codec,
    identity::{AgentId, MeshName},
    wire::{Attested, OrderOrigin, PeerRefusal, PeerReply, PeerRequest},
};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// Names what the key is made for.
const KEY: &str = "regionmesh key of attested calls, made of an operator's token, 1";

/// Makes and checks proofs. Clones share what was used.
#[derive(Debug, Clone)]
pub struct Operators {
    mesh: MeshName,
    id: AgentId,
    /// The configuration in force: a reload can change the token's file.
    live: watch::Receiver<Arc<Config>>,
    used: Arc<Mutex<UsedProofs>>,
}

/// A key made of a token.
#[derive(Debug, Clone)]
pub struct OperatorKey(hmac::Key);

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
    pub fn new(mesh: MeshName, id: AgentId, live: watch::Receiver<Arc<Config>>) -> Self {
        Self {
            mesh,
            id,
            live,
            used: Arc::default(),
        }
    }

    /// Whether this agent has a token: without one it can't tell an operator's wish from a peer's
    /// claim.
    pub fn has_token(&self) -> bool {
        self.live.borrow().api.token_file.is_some()
    }

    /// This agent.
    pub fn id(&self) -> &AgentId {
        &self.id
    }

    /// The keys of the tokens in this agent's file, in its order. The first one signs, each is
    /// accepted: where tokens are exchanged one by one, agents understand each other as long as
    /// their files share the signer's.
    async fn keys(&self) -> Result<Vec<OperatorKey>, String> {
        let path = self
            .live
            .borrow()
            .api
            .token_file
            .clone()
            .ok_or("no api.token_file is configured")?;
        let text = tokens::read(&path).await?;
        let known = tokens::parse(&text)
            .map_err(|error| format!("the token file {} {error}", path.display()))?;

        Ok(known
            .into_iter()
            .map(|(_, token)| OperatorKey::of(token))
            .collect())
    }

    /// The key that signs.
    pub async fn key(&self) -> Result<OperatorKey, String> {
        self.keys()
            .await?
            .into_iter()
            .next()
            .ok_or_else(|| "the token file is empty".into())
    }

    /// A request with its proof.
    pub async fn attest(
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

    /// Checks the proof of a request that `caller` sent; what is asked, and the key for the answer.
    pub async fn check(
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

    /// Takes an order whose proof was checked, once and while it is recent.
    pub fn take(&self, attested: &Attested) -> Result<(), PeerRefusal> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.take(
            attested.nonce,
            attested.sent_ms,
            regionmesh_runtime::time::unix_ms(),
        )
    }

    /// An answer with its proof.
    pub fn attest_reply(
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

    /// The answer in a reply to a request of ours, if its proof is right.
    pub fn check_reply(
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
            // Nothing is taken from these.
            PeerReply::Failed(why) => Ok(PeerReply::Failed(why)),
            PeerReply::Refused(why) => Ok(PeerReply::Refused(why)),
            _ => Err("it carries no proof".into()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::fixture;
    use regionmesh_protocol::{
        plan::{Order, OrderAction},
        register::acceptor::AcceptorRequest,
    };

    fn agent(name: &str) -> AgentId {
        name.parse().unwrap()
    }

    /// A configuration whose token is kept in the file of that name.
    fn config(dir: &std::path::Path, token: &str) -> Arc<Config> {
        let file = dir.join(token);
        std::fs::write(&file, format!("{token}\n")).unwrap();
        let mut config = fixture::config(&[("a", "127.0.0.1")], "");
        config.api.token_file = Some(file);
        Arc::new(config)
    }

    fn operators(dir: &std::path::Path, id: &str, token: &str) -> Operators {
        Operators::new(
            "m".parse().unwrap(),
            agent(id),
            watch::channel(config(dir, token)).1,
        )
    }

    fn order() -> PeerRequest {
        let order = Order {
            action: OrderAction::Restore,
            region: None,
            by: "ann".into(),
            why: "x".into(),
            for_ms: 1_000,
            is_forced: false,
            is_immediate: false,
        };

        PeerRequest::Order {
            order,
            hops_left: 1,
        }
    }

    #[tokio::test]
    async fn a_proof_is_good_for_its_caller_its_request_and_its_origin_alone() {
        let dir = tempfile::tempdir().unwrap();
        let sender = operators(dir.path(), "a/0", "secret");
        let receiver = operators(dir.path(), "b/0", "secret");
        let origin = OrderOrigin {
            operator: "ann".into(),
            agent: agent("a/0"),
        };
        let (attested, _) = sender.attest(&order(), Some(origin.clone())).await.unwrap();

        assert_eq!(
            receiver.check(&attested, &agent("a/0")).await.unwrap().0,
            order()
        );

        let other = codec::encode(&PeerRequest::Acceptor(AcceptorRequest::Read)).unwrap();
        let forged = [
            Attested {
                origin: Some(OrderOrigin {
                    operator: "eve".into(),
                    ..origin
                }),
                ..attested.clone()
            },
            Attested {
                origin: None,
                ..attested.clone()
            },
            Attested {
                request: other,
                ..attested.clone()
            },
            Attested {
                sent_ms: attested.sent_ms + 1,
                ..attested.clone()
            },
            Attested {
                nonce: [0; 16],
                ..attested.clone()
            },
            Attested {
                mac: [0; 32],
                ..attested.clone()
            },
        ];

        for forged in forged {
            assert_eq!(
                receiver.check(&forged, &agent("a/0")).await.unwrap_err(),
                PeerRefusal::WrongProof
            );
        }

        assert_eq!(
            receiver.check(&attested, &agent("c/0")).await.unwrap_err(),
            PeerRefusal::WrongProof
        );

        let thief = operators(dir.path(), "b/0", "another");
        assert_eq!(
            thief.check(&attested, &agent("a/0")).await.unwrap_err(),
            PeerRefusal::WrongProof
        );

        // Files that share the signer's token, under whatever name and in whatever place.
        let rotating = operators(dir.path(), "b/0", "rotating");
        std::fs::write(dir.path().join("rotating"), "ann newer\nci secret\n").unwrap();
        assert!(rotating.check(&attested, &agent("a/0")).await.is_ok());
        assert_eq!(
            (receiver.take(&attested), receiver.take(&attested)),
            (Ok(()), Err(PeerRefusal::Replayed))
        );
    }

    #[tokio::test]
    async fn a_token_file_that_a_reload_names_is_the_one_that_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let (reload, live) = watch::channel(config(dir.path(), "old"));
        let sender = Operators::new("m".parse().unwrap(), agent("a/0"), live);
        let clone = sender.clone();
        let old = operators(dir.path(), "b/0", "old");
        let new = operators(dir.path(), "b/0", "new");
        let (attested, _) = clone.attest(&order(), None).await.unwrap();

        assert!(old.check(&attested, &agent("a/0")).await.is_ok());

        reload.send_replace(config(dir.path(), "new"));
        std::fs::remove_file(dir.path().join("old")).unwrap();

        let (attested, _) = clone.attest(&order(), None).await.unwrap();
        assert!(new.check(&attested, &agent("a/0")).await.is_ok());
        assert!(sender.check(&attested, &agent("a/0")).await.is_ok());
    }

    #[tokio::test]
    async fn an_answer_is_believed_with_the_proof_for_this_question_alone() {
        let dir = tempfile::tempdir().unwrap();
        let asker = operators(dir.path(), "a/0", "secret");
        let answerer = operators(dir.path(), "b/0", "secret");
        let (question, key) = asker.attest(&order(), None).await.unwrap();
        let (other, _) = asker.attest(&order(), None).await.unwrap();
        let answer = PeerReply::Order(Err(regionmesh_protocol::wire::OrderRefusal::NotNow(
            "no".into(),
        )));
        let sent = answerer
            .attest_reply(&answerer.key().await.unwrap(), &question, &answer)
            .unwrap();

        assert_eq!(
            asker.check_reply(&key, &question, sent.clone()).unwrap(),
            answer
        );

        assert!(asker.check_reply(&key, &other, sent).is_err());
        assert!(
            asker.check_reply(&key, &question, answer.clone()).is_err(),
            "it carries no proof"
        );

        let thief = operators(dir.path(), "b/0", "another");
        let forged = thief
            .attest_reply(&thief.key().await.unwrap(), &question, &answer)
            .unwrap();

        assert!(asker.check_reply(&key, &question, forged).is_err());
    }
}
