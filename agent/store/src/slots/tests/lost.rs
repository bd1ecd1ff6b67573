//! Acceptors with deleted or foreign slots.

use super::*;

/// Waits until compaction has left two slots.
async fn compacted(store: &Arc<dyn ObjectStore>) -> Vec<u64> {
    let deadline = std::time::Instant::now() + Duration::from_secs(5);
    loop {
        let left = numbers(store).await;
        if left.len() == 2 {
            return left;
        }
        assert!(std::time::Instant::now() < deadline, "{left:?}");
        tokio::task::yield_now().await;
    }
}

async fn incarnation(slots: &SlotStore) -> Incarnation {
    slots
        .apply(&AcceptorRequest::Read)
        .await
        .unwrap()
        .incarnation
}

/// After any slots are deleted, all agents of the region answer as one new acceptor without any of
/// the old state.
#[tokio::test]
async fn an_acceptor_that_lost_slots_continues_as_a_new_incarnation() {
    for seed in 0..200 {
        let store = memory();
        let mut random = StdRng::seed_from_u64(seed);
        let agents: Vec<_> = (0..3).map(|_| slots(&store)).collect();

        for seq in 1..random.random_range(2..12) {
            // Some agents miss many writes.
            let agent = &agents[random.random_range(0..3)];
            agent.apply(&accept(5, seq, "old")).await.unwrap();
        }

        let before = incarnation(&slots(&store)).await;
        let left = compacted(&store).await;
        let lost: &[u64] = match random.random_range(0..3) {
            0 => &left,
            1 => &left[1..],
            _ => &left[..1],
        };

        for number in lost {
            store
                .delete(&agents[0].objects.path(*number))
                .await
                .unwrap();
        }

        let late = slots(&store);
        let request = AcceptorRequest::Prepare(ballot(1));
        let answers = agents
            .iter()
            .chain([&late])
            .map(|agent| agent.apply(&request));
        let answers: Vec<_> = futures::future::join_all(answers)
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect();

        for answer in &answers {
            assert_ne!(
                answer.incarnation, before,
                "seed {seed}: lost {lost:?} of {left:?}"
            );

            assert_eq!(
                answer.reply,
                AcceptorReply::Promised {
                    ballot: ballot(1),
                    accepted: None
                },
                "seed {seed}"
            );
        }

        // An agent that remembers a higher slot starts over; then all are one acceptor again.
        let mut now = Vec::new();
        for agent in agents.iter().chain([&late]) {
            now.push(incarnation(agent).await);
        }

        assert!(
            now.iter().all(|incarnation| *incarnation == now[0]),
            "seed {seed}: {now:?}"
        );
    }
}

#[tokio::test]
async fn a_slot_of_another_layout_is_reported_as_such() {
    let store = memory();
    store
        .put(
            &Path::from("mesh/register/acc/0000000001"),
            vec![0; 40].into(),
        )
        .await
        .unwrap();

    let refused = apply(&slots(&store), &AcceptorRequest::Read)
        .await
        .unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("another version of regionmesh"),
        "{refused}"
    );
}
