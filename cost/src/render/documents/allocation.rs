//! Allocations as documents.

use super::{BARS_MAX, currency, messages, name, number, total};
use crate::{
    allocation::{Allocation, ModelCost, RegionCost},
    money::{Amount, Currency},
    render::{Chart, ChartKind, Document, Row, Series, Table, Value},
    report::share_bp,
};

/// Costs of models as tables: regions and their models, idle and unallocated cost, whose rows sum
/// to everything spent; then models over all regions.
pub fn allocation_document(allocation: &Allocation) -> Document {
    let heads = ["cost", "share", "requests", "busy hours", "per 1,000"];
    let mut columns = vec![name("region"), name("model"), name("currency")];
    columns.extend(heads.iter().map(|head| number(head)));

    let mut rows = Vec::new();
    for region in &allocation.regions {
        rows.extend(region_rows(region, allocation));
    }

    for (of, amount) in &allocation.totals.0 {
        let mut values = vec![total(), Value::Empty, currency(*of), Value::Amount(*amount)];
        values.resize(columns.len(), Value::Empty);
        rows.push(Row {
            values,
            is_total: true,
        });
    }

    let by_region = Table {
        title: "By region".to_owned(),
        columns,
        rows,
    };

    let mut columns = vec![name("model"), name("currency")];
    columns.extend(heads.iter().map(|head| number(head)));

    let rows = allocation.models.iter().map(|model| {
        let mut values = vec![Value::Text(model.model.clone()), currency(model.currency)];
        values.extend(model_values(model));
        Row {
            values,
            is_total: false,
        }
    });

    let models = Table {
        title: "By model".to_owned(),
        columns,
        rows: rows.collect(),
    };

    let title = format!(
        "Cost of models from {} to {}",
        allocation.start, allocation.end
    );
    let charts = allocation
        .totals
        .0
        .keys()
        .map(|currency| model_bars(allocation, *currency))
        .collect();

    Document {
        title,
        warnings: messages(&allocation.warnings),
        charts,
        tables: vec![by_region, models],
    }
}

fn region_rows(region: &RegionCost, allocation: &Allocation) -> Vec<Row> {
    let is_here = |model: &&ModelCost| {
        model.region.as_ref() == Some(&region.region) && model.currency == region.currency
    };
    let head = |label: &str| {
        vec![
            Value::Text(region.region.clone()),
            Value::Text(label.to_owned()),
            currency(region.currency),
        ]
    };

    let mut rows = Vec::new();
    for model in allocation.by_region.iter().filter(is_here) {
        let mut values = head(&model.model);
        values.extend(model_values(model));
        rows.push(Row {
            values,
            is_total: false,
        });
    }

    for (label, amount) in [
        ("(idle)", region.idle),
        ("(unallocated)", region.unallocated),
    ] {
        let share = share_bp(amount, allocation.totals.of(region.currency));
        let mut values = head(label);
        values.extend([
            Value::Amount(amount),
            Value::ratio(share),
            Value::Empty,
            Value::Empty,
            Value::Empty,
        ]);

        rows.push(Row {
            values,
            is_total: false,
        });
    }

    rows
}

fn model_values(model: &ModelCost) -> [Value; 5] {
    let per_1000 = model.per_1000.map_or(Value::Empty, Value::Amount);
    let requests = Value::Count(model.requests);
    let busy = Value::Hours(model.busy_ms);

    [
        Value::Amount(model.cost),
        Value::ratio(model.share_bp),
        requests,
        busy,
        per_1000,
    ]
}

fn model_bars(allocation: &Allocation, currency: Currency) -> Chart {
    let models = allocation
        .models
        .iter()
        .filter(|model| model.currency == currency);
    let mut bars: Vec<(String, Amount)> = models
        .take(BARS_MAX)
        .map(|model| (model.model.clone(), model.cost))
        .collect();
    let regions = || {
        allocation
            .regions
            .iter()
            .filter(|region| region.currency == currency)
    };

    bars.push((
        "(idle)".to_owned(),
        regions().map(|region| region.idle).sum(),
    ));

    bars.push((
        "(unallocated)".to_owned(),
        regions().map(|region| region.unallocated).sum(),
    ));

    let (labels, amounts) = bars.into_iter().unzip();
    let series = vec![Series {
        name: String::new(),
        amounts,
    }];

    Chart {
        title: format!("By model ({currency})"),
        labels,
        series,
        kind: ChartKind::Bars,
    }
}
