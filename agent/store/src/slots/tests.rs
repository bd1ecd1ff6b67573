//! Laws of the slot store: with lost requests and replies, and with concurrent writers.

mod failures;
mod faulty;
mod lost;

use super::{slot::slot_number, *};
use faulty::faulty;
use futures::TryStreamExt;
use object_store::{ObjectStoreExt, local::LocalFileSystem, memory::InMemory};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use regionmesh_protocol::{
    plan::Plan,
    register::{
        acceptor::{AcceptorReply, AcceptorState},
        ballot::{Ballot, Stamp},
        members::{Incarnation, Members},
    },
};
use regionmesh_runtime::metrics::Registry;
use std::{collections::BTreeMap, sync::atomic::Ordering};

fn slots(store: &Arc<dyn ObjectStore>) -> SlotStore {
    let metrics = SlotMetrics::new(&Registry::new()).unwrap();
    SlotStore::new(
        store.clone(),
        &Path::from("mesh"),
        "region",
        Duration::from_secs(5),
        metrics,
    )
}

fn memory() -> Arc<dyn ObjectStore> {
    Arc::new(InMemory::new())
}

fn ballot(number: u64) -> Ballot {
    Ballot {
        number,
        agent: "r/a".parse().unwrap(),
        boot: 1,
    }
}

fn accept(number: u64, seq: u64, reason: &str) -> AcceptorRequest {
    let acceptors = [("r".parse().unwrap(), Some(Incarnation(1)))].into();
    let members = Members {
        register: 7,
        acceptors,
    };
    let plan = Plan {
        reason: reason.into(),
        members,
        ..Plan::default()
    };

    AcceptorRequest::Accept(
        Stamp {
            ballot: ballot(number),
            seq,
        },
        plan,
    )
}

async fn apply(slots: &SlotStore, request: &AcceptorRequest) -> Result<AcceptorReply, SlotError> {
    slots.apply(request).await.map(|answer| answer.reply)
}

async fn state(slots: &SlotStore) -> AcceptorState {
    match apply(slots, &AcceptorRequest::Read).await.unwrap() {
        AcceptorReply::State(state) => state,
        other => panic!("{other:?}"),
    }
}

async fn numbers(store: &Arc<dyn ObjectStore>) -> Vec<u64> {
    let listed: Vec<_> = store.list(None).try_collect().await.unwrap();
    let mut numbers: Vec<_> = listed
        .iter()
        .filter_map(|meta| slot_number(&meta.location))
        .collect();

    numbers.sort_unstable();
    numbers
}

#[tokio::test]
async fn promises_and_accepted_values_are_durable_and_visible_to_other_processes() {
    let dir = tempfile::tempdir().unwrap();
    let on_disk: Arc<dyn ObjectStore> = Arc::new(
        LocalFileSystem::new_with_prefix(dir.path())
            .unwrap()
            .with_fsync(true),
    );

    for store in [memory(), on_disk] {
        let first = slots(&store);
        let promise = apply(&first, &AcceptorRequest::Prepare(ballot(2)))
            .await
            .unwrap();

        assert_eq!(
            promise,
            AcceptorReply::Promised {
                ballot: ballot(2),
                accepted: None
            }
        );

        for seq in 1..40 {
            apply(&first, &accept(2, seq, "x")).await.unwrap();
        }

        let second = slots(&store);
        let refused = apply(&second, &AcceptorRequest::Prepare(ballot(1)))
            .await
            .unwrap();

        assert_eq!(
            refused,
            AcceptorReply::Refused {
                promised: ballot(2)
            }
        );

        assert_eq!(state(&second).await.accepted.unwrap().0.seq, 39);
        let deadline = std::time::Instant::now() + Duration::from_secs(5);
        // An empty slot, the beginning, a promise and 39 values.
        while numbers(&store).await != [41, 42] {
            assert!(
                std::time::Instant::now() < deadline,
                "{:?}",
                numbers(&store).await
            );

            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_lost_put_reply_is_resolved_by_reading_the_slot() {
    for seed in 0..300 {
        let store = memory();
        let unreliable = slots(&(faulty(&store, seed, 4) as Arc<dyn ObjectStore>));
        let mut accepted = 0;

        for seq in 1..20 {
            match apply(&unreliable, &accept(1, seq, &format!("{seq}"))).await {
                Ok(AcceptorReply::Accepted(stamp)) => accepted = stamp.seq,
                Ok(other) => panic!("seed {seed}: {other:?}"),
                Err(error) => assert!(
                    matches!(error, SlotError::Store { .. }),
                    "seed {seed}: {error}"
                ),
            }
        }

        let found = state(&slots(&store))
            .await
            .accepted
            .map_or(0, |(stamp, _)| stamp.seq);

        assert!(
            found >= accepted,
            "seed {seed}: {accepted} was confirmed, {found} is there"
        );
    }
}

#[tokio::test]
async fn a_stale_writer_whose_slot_number_was_compacted_away_does_not_succeed() {
    let store = memory();
    let stale = slots(&store);
    apply(&stale, &accept(1, 1, "old")).await.unwrap();

    let busy = slots(&store);
    apply(&busy, &AcceptorRequest::Prepare(ballot(9)))
        .await
        .unwrap();
    for seq in 1..40 {
        apply(&busy, &accept(9, seq, "new")).await.unwrap();
    }

    // The stale writer's next slot is free again.
    for number in 1..20 {
        let _ = store.delete(&stale.objects.path(number)).await;
    }

    let answer = apply(&stale, &accept(1, 2, "stale")).await.unwrap();
    assert_eq!(
        answer,
        AcceptorReply::Refused {
            promised: ballot(9)
        }
    );

    let now = state(&slots(&store)).await;
    assert_eq!(
        now.accepted.unwrap().0,
        Stamp {
            ballot: ballot(9),
            seq: 39
        }
    );
}

#[tokio::test]
async fn a_read_sees_what_another_process_wrote() {
    let store = memory();
    let reader = slots(&store);
    let writer = slots(&store);

    for number in 1..40 {
        apply(&writer, &AcceptorRequest::Prepare(ballot(number)))
            .await
            .unwrap();
        assert_eq!(state(&reader).await.promised, Some(ballot(number)));
    }
}

/// Concurrent writers: at most one value per stamp is confirmed, and nothing below a confirmed
/// promise is confirmed after it.
#[tokio::test]
async fn concurrent_writers_on_one_store_are_one_acceptor() {
    for seed in 0..150 {
        let store = memory();
        let log = Arc::new(parking_lot::Mutex::new(Vec::new()));
        let writers = (0..4u64).map(|writer| {
            let slots = slots(&(faulty(&store, seed * 10 + writer, 10) as Arc<dyn ObjectStore>));
            let log = log.clone();
            let mut random = StdRng::seed_from_u64(seed ^ (writer << 32));

            async move {
                for _ in 0..40 {
                    let number = random.random_range(1..60);
                    let request = if random.random_bool(0.3) {
                        AcceptorRequest::Prepare(ballot(number))
                    } else {
                        accept(number, random.random_range(1..3), &format!("by {writer}"))
                    };
                    let asked_at = log.lock().len();

                    if let Ok(reply) = apply(&slots, &request).await {
                        log.lock().push((asked_at, request, reply));
                    }
                }
            }
        });

        futures::future::join_all(writers).await;
        let log = log.lock();
        let mut values = BTreeMap::new();

        for (at, (asked_at, request, reply)) in log.iter().enumerate() {
            if let (AcceptorRequest::Accept(stamp, value), AcceptorReply::Accepted(_)) =
                (request, reply)
            {
                let first = values.entry(stamp.clone()).or_insert_with(|| value.clone());
                assert_eq!(first, value, "seed {seed}: two values for {stamp}");
            }

            let AcceptorReply::Promised {
                ballot: promised,
                accepted,
            } = reply
            else {
                continue;
            };

            for (later_asked, later_request, later_reply) in &log[at..] {
                let AcceptorReply::Accepted(stamp) = later_reply else {
                    continue;
                };
                let is_repeat = matches!((accepted, later_request),
                    (Some((old, _)), AcceptorRequest::Accept(new, _)) if old >= new);

                assert!(
                    *later_asked <= at || stamp.ballot >= *promised || is_repeat,
                    "seed {seed}: {stamp} was accepted after {promised} was promised (asked at \
                        {asked_at})"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_damaged_slot_silences_the_acceptor_and_other_files_do_not() {
    let store = memory();
    store
        .put(&Path::from("mesh/register/acc/readme.txt"), "x".into())
        .await
        .unwrap();

    let slots = slots(&store);
    apply(&slots, &AcceptorRequest::Prepare(ballot(1)))
        .await
        .unwrap();
    store
        .put(&Path::from("mesh/register/acc/0000000004"), "x".into())
        .await
        .unwrap();

    assert!(matches!(
        apply(&slots, &AcceptorRequest::Read).await,
        Err(SlotError::Corrupt { .. })
    ));
}
