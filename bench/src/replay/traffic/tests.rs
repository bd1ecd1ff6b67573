use super::*;

const SECONDS: [f64; MODELS] = [0.1, 0.02, 0.01];

/// 100 requests per second to the large model from the first origin, answered by the first
/// region: 10 nodes' work.
fn all_at_home() -> (Rates, Shares) {
    let mut rates = Rates::default();
    let mut shares = Shares::default();
    rates[0][0] = 100.0;
    shares
        .as_flattened_mut()
        .iter_mut()
        .for_each(|shares| shares[0] = 1.0);

    (rates, shares)
}

fn total(answered: &Answered) -> f64 {
    sum(answered.as_flattened().as_flattened())
}

#[test]
fn overload_is_lost_until_it_is_detected_and_then_forwarded() {
    let trips = RoundTrips::default();
    let mut router = Router::new(&trips, &SECONDS);
    let (rates, shares) = all_at_home();
    let answered = router.minute(&rates, &shares, &[6.0, 9.0, 9.0], 0.25);

    assert!((total(&answered) - 90.0).abs() < 1e-9, "{answered:?}");
    let answered = router.minute(&rates, &shares, &[6.0, 3.0, 9.0], 0.25);
    assert!((total(&answered) - 100.0).abs() < 1e-9);

    // Europe is nearer than India.
    assert!(
        (answered[0][0][1] - 30.0).abs() < 1e-9 && (answered[0][0][2] - 10.0).abs() < 1e-9,
        "{answered:?}"
    );
}

#[test]
fn answers_never_exceed_node_capacity() {
    let trips = RoundTrips::default();
    let mut router = Router::new(&trips, &SECONDS);
    let (rates, shares) = all_at_home();

    for _ in 0..2 {
        let answered = router.minute(&rates, &shares, &[4.0, 1.0, 2.0], 0.0);
        assert!((total(&answered) - 70.0).abs() < 1e-9);
    }
}

#[test]
fn spare_nodes_serve_either_model() {
    let trips = RoundTrips::default();
    let mut router = Router::new(&trips, &SECONDS);
    let (mut rates, shares) = all_at_home();

    rates[1][0] = 500.0;
    // 20 nodes' work, of which 8 are refused and 3 find nodes elsewhere.
    let answered = router.minute(&rates, &shares, &[12.0, 3.0, 0.0], 0.0);
    let work: f64 = places()
        .map(|(model, origin, region)| answered[model][origin][region] * SECONDS[model])
        .sum();

    assert!((work - 15.0).abs() < 1e-9, "{answered:?}");
}

#[test]
fn a_loss_is_survived_if_the_other_regions_have_enough_nodes() {
    let trips = RoundTrips::default();
    let router = Router::new(&trips, &SECONDS);
    let (rates, shares) = all_at_home();
    assert!((router.after_loss(&rates, &shares, &[5.0, 5.0, 5.0]) - 100.0).abs() < 1e-9);
    assert!((router.after_loss(&rates, &shares, &[5.0, 6.0, 4.0]) - 90.0).abs() < 1e-9);
}
