use super::*;
use proptest::prelude::*;
use std::collections::HashMap;

proptest! {
    #[test]
    fn a_remembered_series_is_that_of_the_same_codes(
        batches in proptest::collection::vec(
            (0u32..40, proptest::collection::vec(any::<[u32; 3]>(), 1..50)),
            1..20,
        ),
    ) {
        let mut memo = Memo::new();
        let mut known: HashMap<[u32; 3], u32> = HashMap::new();
        for (bits, rows) in batches {
            let mask = ((1u64 << bits.min(32)) - 1) as u32;
            let columns: Vec<Vec<u32>> = (0..3)
                .map(|at| rows.iter().map(|row| row[at] & mask).collect())
                .collect();

            memo.pack(
                rows.len(),
                columns
                    .iter()
                    .map(|codes| (codes.iter().copied().max().unwrap_or(0), codes.as_slice())),
            );

            for (row, codes) in rows.iter().enumerate() {
                let codes = codes.map(|code| code & mask);
                if let Some(series) = memo.get(row) {
                    prop_assert_eq!(Some(&series), known.get(&codes));
                }

                let next = known.len() as u32;
                let series = *known.entry(codes).or_insert(next);
                memo.set(row, series);
                if bits < 20 {
                    prop_assert_eq!(memo.get(row), Some(series));
                }
            }
        }
    }
}
