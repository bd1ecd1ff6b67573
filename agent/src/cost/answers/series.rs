//! Daily costs by group, each series up to the last day of its own bills.

use super::sources::{Sources, names};
use regionmesh_cost::{
    Amount, Currency, DailyCosts, Group, Query, QueryError, day_of, parse_date, report,
};
use std::collections::{BTreeMap, BTreeSet};
use time::Date;

/// Daily costs by the values of groups and by currency.
pub(super) type Series = BTreeMap<(Vec<String>, Currency), DailyCosts>;

/// The sources of a series, and its costs.
type Found<'a> = (BTreeSet<&'a str>, Vec<(Date, Amount)>);

/// The daily costs of a query's groups; none of them may be a time.
pub(super) fn daily_costs(query: &Query, sources: &Sources) -> Result<Series, QueryError> {
    let by = std::iter::once(Group::Day).chain(query.by.iter().cloned());
    let query = query.clone().by(by.collect::<Vec<_>>());
    let mut found: BTreeMap<(Vec<String>, Currency), Found<'_>> = BTreeMap::new();

    for (source, bills) in sources.ledger.by_source() {
        for row in report(&bills, &query, &names(sources))?.rows {
            let Some((day, values)) = row.values.split_first() else {
                continue;
            };
            let Some(day) = parse_date(day) else { continue };
            let (of, costs) = found.entry((values.to_vec(), row.currency)).or_default();

            of.insert(source);
            costs.push((day, row.amount));
        }
    }

    let ends = sources.ledger.ends(sources.today);
    let series = found
        .into_iter()
        .filter_map(|((values, currency), (of, costs))| {
            let last = ends.of(of).and_then(day_of)?.min(query.end);
            let known = DailyCosts::new(currency, last, costs.iter().copied());
            Some(((values, currency), known.with_later(costs)))
        });

    Ok(series.collect())
}
