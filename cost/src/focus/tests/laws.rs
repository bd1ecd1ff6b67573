use super::*;

proptest! {
    #[test]
    fn totals_are_the_sums_of_rows_however_they_are_written(
        charges in proptest::collection::vec(charge(), 1..40),
        order in Just((0..9).collect::<Vec<usize>>()).prop_shuffle(),
        quoting: u64,
        is_crlf: bool,
    ) {
        let import = read(&written(
            &charges,
            &order,
            quoting,
            if is_crlf { "\r\n" } else { "\n" },
        ));

        prop_assert_eq!(&import.report.bad_rows, &[]);
        let sum = |of: &dyn Fn(&Charge) -> i64| {
            Amount(charges.iter().map(|charge| i128::from(of(charge))).sum()).to_string()
        };
        prop_assert_eq!(
            total(&import, Metric::Billed),
            sum(&|charge| charge.units[0])
        );

        prop_assert_eq!(
            total(&import, Metric::Effective),
            sum(&|charge| charge.units[1])
        );

        prop_assert_eq!(
            total(&import, Metric::List),
            sum(&|charge| if charge.is_usage { charge.units[2] } else { 0 })
        );

        let mut reversed = charges.clone();
        reversed.reverse();

        let plain: Vec<usize> = (0..9).collect();
        let other = read(&written(&reversed, &plain, 1, "\n"));
        prop_assert_eq!(
            import.parts[0].cells.encode().unwrap(),
            other.parts[0].cells.encode().unwrap()
        );
    }

    #[test]
    fn content_is_the_same_if_and_only_if_its_bytes_are(
        one: Vec<u8>,
        is_copy: bool,
        other: Vec<u8>,
        packed in any::<[bool; 2]>(),
    ) {
        let other = if is_copy { one.clone() } else { other };
        // Input that begins like gzip would be unpacked.
        prop_assume!(
            [&one, &other]
                .iter()
                .all(|bytes| FileFormat::of(bytes) != FileFormat::CsvGz)
        );

        let [left, right] = [(&one, packed[0]), (&other, packed[1])]
            .map(|(bytes, pack)| if pack { gzip(bytes) } else { bytes.clone() });
        prop_assert_eq!(
            has_same_content(&left[..], &right[..]).unwrap(),
            one == other
        );
    }

    #[test]
    fn arbitrary_rows_never_panic_and_none_is_lost(
        rows in proptest::collection::vec("[0-9a-z,\"-]{0,30}", 0..20),
    ) {
        let import = read(&format!("{START},BilledCost,Tags\n{}\n", rows.join("\n")));
        prop_assert_eq!(
            import.report.rows,
            import.report.imported + import.report.bad.values().sum::<u64>()
        );
    }
}
