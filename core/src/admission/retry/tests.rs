use super::*;
use proptest::prelude::*;

const HELD: Retryable = Retryable {
    is_idempotent: true,
    is_buffered: true,
    attempts: 1,
    broken: 0,
};
const UNAVAILABLE: AttemptFailure = AttemptFailure::Unavailable {
    retry_after_ms: 1_000,
};

fn failure() -> impl Strategy<Value = AttemptFailure> {
    prop_oneof![
        Just(AttemptFailure::NotSent),
        Just(AttemptFailure::Broken),
        any::<u64>().prop_map(|retry_after_ms| AttemptFailure::Unavailable { retry_after_ms }),
    ]
}

fn request() -> impl Strategy<Value = Retryable> {
    (any::<bool>(), any::<bool>(), 0u32..10, 0u32..4).prop_map(
        |(is_idempotent, is_buffered, attempts, broken)| Retryable {
            is_idempotent,
            is_buffered,
            attempts,
            broken,
        },
    )
}

proptest! {
    #[test]
    fn a_request_that_may_have_run_is_retried_only_if_idempotent(
        request in request(),
        random: u32,
    ) {
        let decided = decide(
            AttemptFailure::Broken,
            request,
            &mut RetryBudget::new(0),
            0,
            random,
        );

        prop_assert!(decided.is_err() || request.is_idempotent && request.is_buffered);
        prop_assert!(
            decided.is_err() || request.attempts < ATTEMPTS_MAX && request.broken < BROKEN_MAX
        );
    }

    #[test]
    fn an_unsent_request_is_always_retried_for_free(
        request in request(),
        now_ms: u64,
        random: u32,
    ) {
        let mut budget = RetryBudget::new(0);
        let before = budget.clone();
        prop_assert_eq!(
            decide(
                AttemptFailure::NotSent,
                request,
                &mut budget,
                now_ms,
                random
            ),
            Ok(0)
        );

        prop_assert_eq!(budget, before);
    }

    #[test]
    fn a_pause_is_bounded_and_close_to_retry_after(retry_after_ms: u64, random: u32) {
        let failure = AttemptFailure::Unavailable { retry_after_ms };
        let pause_ms = decide(failure, HELD, &mut RetryBudget::new(0), 0, random).unwrap();
        let wanted_ms = retry_after_ms.clamp(PAUSE_MIN_MS, PAUSE_MAX_MS);

        prop_assert!(
            pause_ms * 4 >= wanted_ms * 3 && pause_ms * 4 <= wanted_ms * 5,
            "{pause_ms} for {wanted_ms}"
        );
    }

    #[test]
    fn retries_stay_within_the_budget(
        steps in prop::collection::vec((any::<bool>(), failure(), 0u64..200), 0..3_000),
    ) {
        let mut budget = RetryBudget::new(0);
        let mut now_ms = 0u64;
        let mut requests = 0u64;
        let mut retries = 0u64;

        for (is_new, failure, passed_ms) in steps {
            now_ms += passed_ms;
            if is_new {
                requests += 1;
                budget.deposit();
            } else if failure != AttemptFailure::NotSent
                && decide(failure, HELD, &mut budget, now_ms, 0).is_ok()
            {
                retries += 1;
            }

            let allowed = BUDGET_MAX + requests * DEPOSIT + now_ms * DEPOSIT_PER_MS;
            prop_assert!(retries * TOKEN <= allowed);
        }
    }

    #[test]
    fn a_full_budget_covers_the_loss_of_all_requests_in_flight(now_ms: u64) {
        let mut budget = RetryBudget::new(now_ms);
        for _ in 0..WINDOW_MAX {
            prop_assert!(decide(AttemptFailure::Broken, HELD, &mut budget, now_ms, 0).is_ok());
        }
        prop_assert_eq!(
            decide(AttemptFailure::Broken, HELD, &mut budget, now_ms, 0),
            Err(GiveUp::Budget)
        );
    }

    #[test]
    fn a_window_stays_within_its_bounds(
        steps in prop::collection::vec((0u8..3, 0u64..4), 0..600),
    ) {
        let mut window = ReleaseWindow::default();
        for (what, back) in steps {
            let epoch = window.epoch().saturating_sub(back);
            match what {
                0 => window.answered(),
                1 => window.overloaded(epoch),
                _ => window.lost(epoch),
            }

            prop_assert!((WINDOW_MIN..=WINDOW_MAX).contains(&window.size()));
        }
    }

    #[test]
    fn one_incident_reported_by_many_requests_counts_once(
        answers in 0usize..400,
        reports in 1usize..300,
    ) {
        let mut window = ReleaseWindow::default();
        (0..answers).for_each(|_| window.answered());

        let before = window.size();
        let epoch = window.epoch();
        (0..reports).for_each(|_| window.overloaded(epoch));
        prop_assert_eq!(window.size(), (before / 2).max(WINDOW_MIN));
    }
}

#[test]
fn a_window_doubles_with_each_round_of_answers() {
    let mut window = ReleaseWindow::default();
    for wanted in [16, 32, 64, 128, 256, 256] {
        (0..window.size()).for_each(|_| window.answered());
        assert_eq!(window.size(), wanted);
    }

    window.lost(window.epoch());
    assert_eq!(window.size(), WINDOW_INITIAL);
}

#[test]
fn inferences_are_idempotent_and_other_posts_are_not() {
    for (method, path, is_so) in [
        ("GET", "/anything", true),
        ("POST", "/v2/models/iris/infer", true),
        ("POST", "/v2/models/iris/versions/3/infer", true),
        ("POST", "/v2/models/chat/generate", true),
        ("POST", "/v2/repository/index", true),
        ("POST", "/v2/repository/models/iris/load", false),
        ("POST", "/infer", false),
        ("PATCH", "/v2/models/iris/infer", false),
    ] {
        assert_eq!(is_idempotent(method, path), is_so, "{method} {path}");
    }
}

#[test]
fn a_request_is_sent_a_bounded_number_of_times() {
    let mut budget = RetryBudget::new(0);
    let mut request = HELD;
    while decide(UNAVAILABLE, request, &mut budget, 0, 0).is_ok() {
        request.attempts += 1;
    }
    assert_eq!(request.attempts, ATTEMPTS_MAX);
}

#[test]
fn a_request_that_broke_two_connections_is_not_sent_to_a_third_region() {
    let mut budget = RetryBudget::new(0);
    let after = |broken| Retryable {
        attempts: broken,
        broken,
        ..HELD
    };

    assert_eq!(
        decide(AttemptFailure::Broken, after(1), &mut budget, 0, 0),
        Ok(0)
    );

    assert_eq!(
        decide(AttemptFailure::Broken, after(2), &mut budget, 0, 0),
        Err(GiveUp::Broken)
    );
}
