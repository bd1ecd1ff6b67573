#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use proptest::prelude::*;

fn money(amount: f64) -> Amount {
    Amount::from_f64(amount).unwrap()
}

fn window(days: &[f64], load: f64) -> BillWindow {
    BillWindow {
        days: days.iter().map(|day| money(*day)).collect(),
        currency: Currency::USD,
        load,
    }
}

fn predicted(expected: f64) -> Saving {
    Saving {
        expected: money(expected),
        low: money(expected * 0.8),
        high: money(expected * 1.2),
    }
}

const MONTH: f64 = 730.0 / 24.0;

proptest! {
    #[test]
    fn a_real_saving_is_confirmed_and_a_missing_one_is_not_seen_at_any_load(
        cost in 10.0..1e6f64,
        part in 0.05..0.9f64,
        ratio in 0.7..1.4f64,
        share in 0.0..=1.0f64,
        days in 7usize..40,
    ) {
        let before = window(&vec![cost; days], 100.0);
        let adjustment = 1.0 - share + share * ratio;
        let saved = cost * adjustment * part;
        let expected = predicted(saved * MONTH);
        let with = verify(
            expected,
            &before,
            &window(&vec![cost * adjustment - saved; days], 100.0 * ratio),
            share,
        );

        prop_assert_eq!(with.verdict, Verdict::Confirmed, "{}", with.why);
        prop_assert!((with.seen.to_f64() - saved * MONTH).abs() <= 1e-6 * cost * MONTH);

        let without = verify(
            expected,
            &before,
            &window(&vec![cost * adjustment; days], 100.0 * ratio),
            share,
        );

        prop_assert_eq!(without.verdict, Verdict::NotSeen, "{}", without.why);
        let half = verify(
            expected,
            &before,
            &window(&vec![cost * adjustment - saved / 2.0; days], 100.0 * ratio),
            share,
        );

        prop_assert_eq!(half.verdict, Verdict::Partly, "{}", half.why);
    }

    #[test]
    fn any_numbers_are_accepted(
        before in prop::collection::vec(any::<i128>(), 0..20),
        after in prop::collection::vec(any::<i128>(), 0..20),
        loads: [f64; 2],
        load_share: f64,
        expected: i128,
    ) {
        let of = |days: Vec<i128>, load| BillWindow {
            days: days.into_iter().map(Amount).collect(),
            currency: Currency::USD,
            load,
        };
        let expected = Saving {
            expected: Amount(expected),
            low: Amount(expected),
            high: Amount(expected),
        };

        verify(
            expected,
            &of(before, loads[0]),
            &of(after, loads[1]),
            load_share,
        );
    }
}

#[test]
fn too_few_days_other_currencies_and_other_loads_are_inconclusive() {
    let before = window(&[10.0; 14], 100.0);
    let verdict = |after: BillWindow| verify(predicted(100.0), &before, &after, 1.0);
    let few = verdict(window(&[5.0; 6], 100.0));

    assert_eq!(few.verdict, Verdict::Inconclusive);
    assert_eq!(
        few.why,
        "14 days before and 6 after the change are on the bill; 7 of each are needed"
    );

    let euro = BillWindow {
        currency: "EUR".parse().unwrap(),
        ..window(&[5.0; 14], 100.0)
    };

    assert_eq!(
        verdict(euro).why,
        "the bill's currency changed from USD to EUR"
    );
    assert_eq!(
        verdict(window(&[5.0; 14], 200.0)).verdict,
        Verdict::Inconclusive
    );

    assert_eq!(
        verdict(window(&[5.0; 14], 0.0)).verdict,
        Verdict::Inconclusive
    );
}

#[test]
fn days_that_vary_more_than_the_saving_are_inconclusive() {
    let noisy = |shift: f64| {
        window(
            &[2.0, 30.0, 5.0, 21.0, 1.0, 27.0, 12.0].map(|day| day + shift),
            100.0,
        )
    };
    let seen = verify(predicted(90.0), &noisy(3.0), &noisy(0.0), 0.0);

    assert_eq!(seen.verdict, Verdict::Inconclusive, "{}", seen.why);
    // A saving far above the noise is seen all the same.
    assert_eq!(
        verify(predicted(3_000.0), &noisy(120.0), &noisy(0.0), 0.0).verdict,
        Verdict::Confirmed
    );
}
