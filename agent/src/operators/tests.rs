#![allow(clippy::unwrap_used)]

use super::*;
use crate::config::fixture;
use regionmesh_protocol::{
    plan::{Order, OrderAction},
    register::acceptor::AcceptorRequest,
};

fn agent(name: &str) -> AgentId {
    name.parse().unwrap()
}

/// A configuration with this token, in a file of the same name.
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
        proof: None,
    };

    PeerRequest::Order {
        order,
        hops_left: 1,
    }
}

/// Copies of a request, each with another field changed.
fn forgeries(attested: &Attested, origin: OrderOrigin) -> [Attested; 6] {
    let other = codec::encode(&PeerRequest::Acceptor(AcceptorRequest::Read)).unwrap();
    [
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
    ]
}

#[tokio::test]
async fn a_proof_is_valid_only_for_its_caller_request_and_origin() {
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

    for forged in forgeries(&attested, origin) {
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

    // A file with the signer's token under another name and in another line.
    let rotating = operators(dir.path(), "b/0", "rotating");
    std::fs::write(dir.path().join("rotating"), "ann newer\nci secret\n").unwrap();
    assert!(rotating.check(&attested, &agent("a/0")).await.is_ok());
    assert_eq!(
        (receiver.take(&attested), receiver.take(&attested)),
        (Ok(()), Err(PeerRefusal::Replayed))
    );
}

#[tokio::test]
async fn the_token_file_named_by_a_reload_is_read() {
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
async fn an_answer_is_accepted_only_with_the_proof_for_its_request() {
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
