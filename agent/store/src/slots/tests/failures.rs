//! Logs and metrics of a failing store.

use super::*;

fn witness(store: Arc<dyn ObjectStore>, metrics: &SlotMetrics) -> SlotStore {
    SlotStore::new(
        store,
        &Path::from("mesh"),
        "witness",
        Duration::from_millis(20),
        metrics.clone(),
    )
}

#[tokio::test]
async fn a_full_or_silent_store_is_logged_once_and_promises_nothing() {
    let failing = faulty(&memory(), 0, 0);
    let metrics = SlotMetrics::new(&Registry::new()).unwrap();
    let slots = witness(failing.clone(), &metrics);

    slots.apply(&accept(3, 1, "kept")).await.unwrap();
    let errors = |reason| metrics.errors.with_label_values(&["witness", reason]).get();

    failing.is_full.store(true, Ordering::Relaxed);
    for number in 4..7 {
        let error = slots
            .apply(&AcceptorRequest::Prepare(ballot(number)))
            .await
            .unwrap_err()
            .to_string();

        assert!(
            error.contains("witness store") && error.contains("no space left"),
            "{error}"
        );
    }

    assert_eq!(
        (errors("store"), slots.failures.0.lock().unlogged),
        (3, 2),
        "logged once, counted each time"
    );

    // Existing state can still be read.
    let AcceptorReply::State(state) = apply(&slots, &AcceptorRequest::Read).await.unwrap() else {
        panic!("no state")
    };
    assert_eq!(state.promised, Some(ballot(3)));
    assert!(
        slots.failures.0.lock().failing_since.is_some(),
        "an answer to a read does not end it"
    );

    failing.is_full.store(false, Ordering::Relaxed);

    failing.is_silent.store(true, Ordering::Relaxed);
    let error = slots.apply(&AcceptorRequest::Read).await.unwrap_err();
    assert!(
        matches!(
            error,
            SlotError::TimedOut {
                acceptor: "witness",
                action: "list",
                ..
            }
        ),
        "{error}"
    );

    assert_eq!(errors("timeout"), 1);
    failing.is_silent.store(false, Ordering::Relaxed);

    let promised = apply(&slots, &AcceptorRequest::Prepare(ballot(9)))
        .await
        .unwrap();
    assert!(
        matches!(promised, AcceptorReply::Promised { .. }),
        "{promised:?}"
    );
}
