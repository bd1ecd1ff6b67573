use super::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_costs_can_be_forecast(
        amounts in any_amounts(150),
        horizon in 1..=HORIZON_DAYS_MAX,
        incomplete in 0..5u16,
    ) {
        let costs = costs(&amounts);
        match forecast(&costs, horizon, incomplete) {
            Ok(forecast) => {
                prop_assert_eq!(forecast.days.len(), usize::from(horizon));
                prop_assert_eq!(
                    forecast.days[0].day,
                    LAST - Duration::days(i64::from(incomplete)) + Duration::days(1)
                );

                prop_assert!(
                    forecast
                        .days
                        .windows(2)
                        .all(|pair| pair[0].day.next_day() == Some(pair[1].day))
                );

                prop_assert!(
                    forecast.days.iter().all(|day| is_ordered(day.cost))
                        && is_ordered(forecast.total)
                );

                let sum: Amount = forecast.days.iter().map(|day| day.cost.expected).sum();
                let rounding = i128::from(horizon) * ONE / 1_000_000;
                let off = (sum - forecast.total.expected).0.abs();

                prop_assert!(
                    off <= rounding + sum.0.abs() / 1_000_000_000,
                    "{sum} {}",
                    forecast.total.expected
                );
            }
            // Spikes of 10^12 a day may add up to more than can be written.
            Err(error) => {
                let is_too_short = amounts.len() <= usize::from(incomplete);
                let too_short = ForecastError::NoCompleteDay {
                    incomplete_days: incomplete,
                };

                prop_assert_eq!(
                    error,
                    if is_too_short {
                        too_short
                    } else {
                        ForecastError::TooLarge
                    }
                );
            }
        }
    }

    #[test]
    fn incomplete_days_do_not_count(
        amounts in any_amounts(60),
        newest in any_amounts(3),
        horizon in 1..40u16,
    ) {
        let incomplete = newest.len() as u16;
        let with = |newest: Vec<Amount>| costs(&[&amounts[..], &newest].concat());
        let believed = forecast(&with(newest.clone()), horizon, incomplete);

        prop_assert_eq!(
            &believed,
            &forecast(&with(vec![Amount::ZERO; newest.len()]), horizon, incomplete)
        );
    }

    /// Of incomplete days, and of days that some sources have reached already.
    #[test]
    fn a_month_ends_with_no_less_than_is_billed(
        sizes in prop::collection::vec(0..10_000i64, 3..60),
        later in prop::collection::vec(0..100_000i64, 0..9),
        incomplete in 0..3u16,
    ) {
        let amounts: Vec<Amount> = sizes
            .iter()
            .map(|size| Amount(i128::from(*size) * ONE))
            .collect();
        let dated = amounts
            .iter()
            .rev()
            .enumerate()
            .map(|(age, amount)| (LAST - Duration::days(age as i64), *amount));
        let ahead = later.iter().enumerate();

        let ahead = ahead.map(|(index, size)| {
            (
                LAST + Duration::days(index as i64 + 1),
                Amount(i128::from(*size) * ONE),
            )
        });
        let all: Vec<(Date, Amount)> = dated.chain(ahead).collect();
        let billed: Amount = all
            .iter()
            .filter(|(day, _)| day.month() == LAST.month())
            .map(|(_, amount)| *amount)
            .sum();
        let known = DailyCosts::new(Currency::USD, LAST, all.iter().copied()).with_later(all);
        let month = month_end(&known, incomplete).unwrap();

        prop_assert!(
            is_ordered(month.total) && month.total.low >= billed,
            "{month:?} {billed}"
        );

        // What is known of other days changes nothing else.
        let complete = month_end(&costs(&amounts), incomplete).unwrap();
        prop_assert!(
            month.total.expected >= complete.total.expected
                && month.total.high >= complete.total.high
        );

        prop_assert_eq!(
            (month.known, month.known_days),
            (complete.known, complete.known_days)
        );
    }

    #[test]
    fn without_credits_no_cost_is_negative(
        sizes in prop::collection::vec(0..1_000i64, 1..80),
        horizon in 1..120u16,
    ) {
        let amounts: Vec<Amount> = sizes
            .iter()
            .map(|size| Amount(i128::from(*size) * ONE))
            .collect();
        let forecast = forecast(&costs(&amounts), horizon, 0).unwrap();

        prop_assert!(forecast.days.iter().all(|day| day.cost.low >= Amount::ZERO));
        prop_assert!(forecast.total.low >= Amount::ZERO);
    }

    #[test]
    fn a_constant_stays_constant(
        cents in 1..10_000_000i128,
        day_count in 1..120usize,
        horizon in 1..60u16,
    ) {
        let amount = Amount(cents * ONE / 100);
        let forecast = forecast(&costs(&vec![amount; day_count]), horizon, 0).unwrap();
        for day in &forecast.days {
            prop_assert!(
                (day.cost.expected - amount).0.abs() <= amount.0 / 100_000 + ONE / 1_000_000,
                "{day:?} {amount}"
            );
        }

        // Four past forecasts make a band.
        let width =
            (forecast.total.high - forecast.total.low).to_f64() / forecast.total.expected.to_f64();
        prop_assert_eq!(
            width < 1e-3,
            forecast.folds >= 4,
            "{} {}",
            width,
            forecast.folds
        );
    }

    #[test]
    fn known_days_count_as_they_are(mut amounts in any_amounts(70), incomplete in 0..25u16) {
        let newest = amounts.len().saturating_sub(usize::from(incomplete));
        amounts[newest..].fill(Amount::ZERO);

        let Ok(month) = month_end(&costs(&amounts), incomplete) else {
            return Ok(());
        };
        let known_days = 20usize.saturating_sub(usize::from(incomplete));
        let complete = &amounts[..amounts.len() - usize::from(incomplete)];
        let known: Amount = complete.iter().rev().take(known_days).copied().sum();

        prop_assert_eq!(usize::from(month.known_days), known_days);
        prop_assert_eq!(month.known, known);
        prop_assert_eq!(month.run_rate, known.share(30, known_days as u64));
        prop_assert!(is_ordered(month.total));

        let rest = forecast(&costs(&amounts), 10 + incomplete, incomplete);
        if known_days > 0
            && let Ok(rest) = rest
        {
            prop_assert_eq!(month.total.expected, known + rest.total.expected);
            prop_assert_eq!(month.total.low, known + rest.total.low);
        }
    }

    #[test]
    fn bands_cover_as_often_as_promised(values in prop::collection::vec(-100.0..100.0f64, 5..40)) {
        // Each value in turn is the next error, the others are those before: the law that conformal
        // prediction rests on.
        let holds = |index: usize| {
            let others = values
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != index)
                .map(|(_, value)| *value);

            values[index].abs() <= half_width(others)
        };
        let held = (0..values.len()).filter(|index| holds(*index)).count();

        prop_assert!(held as f64 >= BAND_COVERAGE * values.len() as f64);
        prop_assert!(held as f64 <= BAND_COVERAGE * values.len() as f64 + 1.0);
    }

    #[test]
    fn the_order_of_costs_does_not_matter(amounts in any_amounts(40)) {
        let days: Vec<(Date, Amount)> = amounts
            .iter()
            .enumerate()
            .map(|(index, amount)| (LAST - Duration::days(index as i64), *amount))
            .collect();
        let reversed = DailyCosts::new(Currency::USD, LAST, days.iter().rev().copied());
        let halves = days.iter().flat_map(|(day, amount)| {
            [
                (*day, Amount(amount.0 / 2)),
                (*day, *amount - Amount(amount.0 / 2)),
            ]
        });

        let in_order = DailyCosts::new(Currency::USD, LAST, days.clone());
        prop_assert_eq!(&in_order, &reversed);
        prop_assert_eq!(&in_order, &DailyCosts::new(Currency::USD, LAST, halves));
    }
}
