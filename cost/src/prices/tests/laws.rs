use super::*;

proptest! {
    #[test]
    fn parts_of_a_month_cost_what_the_month_costs(
        mut ends in prop::collection::btree_set(1u64..1_000, 0..4),
        amounts in prop::collection::vec(0..10 * ONE, 4),
        cuts in prop::collection::vec(0u64..1 << 42, 1..6),
    ) {
        while ends.len() > 3 {
            ends.pop_last();
        }

        let price = tiered(&ends.into_iter().collect::<Vec<_>>(), &amounts);
        let mut cuts = cuts;
        cuts.sort_unstable();

        let whole = price.cost(0, *cuts.last().unwrap()).amount;
        let starts = std::iter::once(0).chain(cuts.iter().copied());
        let parts: Amount = starts
            .zip(cuts.iter())
            .map(|(from, to)| price.cost(from, *to).amount)
            .sum();

        prop_assert_eq!(parts, whole);
    }

    #[test]
    fn whole_units_cost_their_tiers(
        units in 0u64..100,
        end in 1u64..100,
        low in 0i128..ONE,
        high in 0i128..ONE,
    ) {
        let price = tiered(&[end], &[high, low]);
        let expected =
            i128::from(units.min(end)) * high + i128::from(units.saturating_sub(end)) * low;
        prop_assert_eq!(price.cost(0, units << 30).amount, Amount(expected));
    }

    #[test]
    fn merging_is_commutative_associative_and_idempotent(
        tables in prop::collection::vec(prop::collection::vec(any_price(), 0..6), 3),
    ) {
        let [a, b, c] = tables.map_into();
        let merged = |tables: &[&PriceTable]| {
            let mut sum = PriceTable::default();
            tables.iter().for_each(|table| sum.merge((*table).clone()));
            sum
        };
        let all = merged(&[&a, &b, &c]);

        prop_assert_eq!(&merged(&[&c, &b, &a]), &all);
        prop_assert_eq!(&merged(&[&merged(&[&b, &c]), &a, &a]), &all);
    }

    #[test]
    fn a_later_catalogue_does_not_change_earlier_days(
        old in prop::collection::vec(any_price(), 1..6),
        new in any_price(),
        ago in 1i64..5,
    ) {
        let mut table = PriceTable::default();
        table.apply(old.clone(), false).unwrap();

        let day = new.valid_from - Duration::days(ago);
        let before = table.get(&new.item, day).cloned();
        table.apply(vec![new.clone()], true).unwrap();
        prop_assert_eq!(table.get(&new.item, day).cloned(), before);
        prop_assert_eq!(
            table.get(&new.item, new.valid_from).map(Price::first),
            Some(new.first())
        );
    }

    #[test]
    fn arbitrary_files_never_panic(
        bytes: Vec<u8>,
        text in "(kind|amount|node|egress|[,\"=\\[\\]{}\n#.0-9a-z:*-]){0,60}",
    ) {
        for name in ["a.csv", "a.toml"] {
            let _ = read_prices(name, &bytes, &PriceDefaults::default());
            let _ = read_prices(name, text.as_bytes(), &PriceDefaults::default());
            let csv = format!("kind,amount,cloud,region,sku,from,to\n{text}");
            let _ = read_prices(name, csv.as_bytes(), &PriceDefaults::default());
        }

        let _ = PriceTable::decode(&bytes);
    }

    #[test]
    fn a_table_survives_the_bucket_and_json(list in prop::collection::vec(any_price(), 0..6)) {
        let mut table = PriceTable::default();
        table.apply(list, true).unwrap();
        prop_assert_eq!(
            &PriceTable::decode(&table.encode().unwrap()).unwrap(),
            &table
        );

        let json = serde_json::to_string(&table).unwrap();
        prop_assert_eq!(&serde_json::from_str::<PriceTable>(&json).unwrap(), &table);
    }
}

trait MapInto {
    fn map_into(self) -> [PriceTable; 3];
}

impl MapInto for Vec<Vec<Price>> {
    fn map_into(self) -> [PriceTable; 3] {
        let tables: Vec<PriceTable> = self
            .into_iter()
            .map(|list| PriceTable::try_from(list).unwrap())
            .collect();
        tables.try_into().unwrap()
    }
}
