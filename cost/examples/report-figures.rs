//! How long reports take over 13 months of a large bill, compared with a plain loop over the cells.
//!
//! `cargo run --release -p regionmesh-cost --example report-figures [CELLS_PER_MONTH [GROUPS…]]`:
//! 100,000 cells unless given. Data are made from a fixed seed. Each time is the processor time of
//! the fastest of several runs on one thread, so other work on the machine shows least.

use rand::{RngExt, SeedableRng, rngs::StdRng};
use regionmesh_cost::{
    Amount, CellKey, Cells, CellsBuilder, ChargeKind, Currency, Dimension, Group, Interval, Ledger,
    Period, PricingClass, Query, StoredPart, Sums, report, trends,
};
use std::{
    collections::HashMap,
    error::Error,
    hint::black_box,
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};
use time::{Date, Month, macros::date};

const MONTHS: usize = 13;
const RUNS: usize = 15;
const REPORTS: [&str; 7] = [
    "",
    "region",
    "region,service",
    "region,model,service",
    "day,region",
    "month,account,pricing",
    "tag:team,day",
];

fn main() -> Result<(), Box<dyn Error>> {
    let cells = std::env::args()
        .nth(1)
        .map_or(Ok(100_000), |text| text.parse())?;
    let ledger = ledger(cells)?;
    let total: usize = ledger.parts().map(|part| part.cells().len()).sum();

    println!("{MONTHS} months, {total} cells");
    println!(
        "{:<34} {:>9} {:>9} {:>9} {:>7}",
        "report by", "rows", "ms", "plain ms", "ratio"
    );

    let asked: Vec<String> = std::env::args().skip(2).collect();
    let usual = REPORTS.map(str::to_owned).to_vec();
    for by in if asked.is_empty() { usual } else { asked } {
        let groups: Vec<Group> = by
            .split(',')
            .filter(|group| !group.is_empty())
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        let query = Query::new(date!(2025 - 09 - 01), date!(2026 - 09 - 30)).by(groups);
        let rows = report(&ledger, &query, &mesh_region)?.rows.len();
        let ours = fastest(|| {
            black_box(report(&ledger, &query, &mesh_region).ok());
        });
        let plain_sums = plain(&ledger, &query);

        if plain_sums.len() != rows {
            return Err(format!(
                "by {by:?}: the plain loop finds {} rows, the report {rows}",
                plain_sums.len()
            )
            .into());
        }

        let theirs = fastest(|| {
            black_box(plain(&ledger, &query));
        });
        print(
            if by.is_empty() { "(total)" } else { &by },
            rows,
            ours,
            Some(theirs),
        );
    }

    let query = Query::new(date!(2025 - 09 - 01), date!(2026 - 09 - 30))
        .by([Group::Region, Group::Service]);
    let rows = trends(&ledger, &query, Interval::Month, &mesh_region)?
        .series
        .len();
    let ours = fastest(|| {
        black_box(trends(&ledger, &query, Interval::Month, &mesh_region).ok());
    });

    print("trends by region,service", rows, ours, None);
    Ok(())
}

fn print(name: &str, rows: usize, ours: Duration, theirs: Option<Duration>) {
    let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
    let (plain, ratio) = theirs.map_or(Default::default(), |theirs| {
        (
            format!("{:.1}", ms(theirs)),
            format!("{:.1}×", ms(theirs) / ms(ours)),
        )
    });

    println!(
        "{name:<34} {rows:>9} {:>9.1} {plain:>9} {ratio:>7}",
        ms(ours)
    );
}

fn fastest(mut run: impl FnMut()) -> Duration {
    let time = |_| {
        let start = on_processor();
        run();
        on_processor().saturating_sub(start)
    };

    (0..RUNS).map(time).min().unwrap_or_default()
}

/// Time that this thread has spent on a processor; since an arbitrary moment where Linux does not
/// say.
fn on_processor() -> Duration {
    static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);

    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let spent = stat
        .split(' ')
        .next()
        .and_then(|nanos| nanos.parse().ok())
        .map(Duration::from_nanos);

    spent.unwrap_or_else(|| STARTED.elapsed())
}

fn mesh_region(provider: &str, id: &str) -> Option<String> {
    (provider == "Google Cloud" && id == "region-0").then(|| "eu-west-1".to_owned())
}

/// A map from texts, as anyone would write it first.
fn plain(ledger: &Ledger, query: &Query) -> HashMap<(Vec<String>, Currency), Amount> {
    let mut sums: HashMap<(Vec<String>, Currency), Amount> = HashMap::new();
    for part in ledger.parts() {
        let cells = part.cells();
        for cell in 0..cells.len() {
            let values = query
                .by
                .iter()
                .map(|group| plain_value(cells, group, cell))
                .collect();

            *sums.entry((values, cells.currency(cell))).or_default() +=
                cells.sums(cell).get(query.metric);
        }
    }

    sums
}

fn plain_value(cells: &Cells, group: &Group, cell: usize) -> String {
    let tag = |key| {
        cells
            .tag_column(key)
            .map(|column| cells.texts()[column[cell] as usize].clone())
            .unwrap_or_default()
    };
    let day = regionmesh_cost::day_of(cells.day(cell));

    match group {
        Group::Day => day.map(|day| day.to_string()).unwrap_or_default(),
        Group::Month => day
            .map(|day| Period::of(day).to_string())
            .unwrap_or_default(),
        Group::Region => {
            let provider = cells.text(Dimension::Provider, cell);
            let id = cells.text(Dimension::Region, cell);
            mesh_region(provider, id).unwrap_or_else(|| format!("{provider} {id}"))
        }
        Group::Account => cells.text(Dimension::Account, cell).to_owned(),
        Group::Service => cells.text(Dimension::Service, cell).to_owned(),
        Group::Pricing => format!("{:?}", cells.pricing(cell)),
        Group::Model => tag("model"),
        Group::Tag(key) => tag(key),
        _ => String::new(),
    }
}

fn ledger(cells_per_month: usize) -> Result<Ledger, Box<dyn Error>> {
    let mut ledger = Ledger::default();
    let mut random = StdRng::seed_from_u64(1);
    let mut period = Period {
        year: 2025,
        month: Month::September,
    };

    for _ in 0..MONTHS {
        let cells = month(period, cells_per_month, &mut random)?;
        let part = StoredPart::new(
            "AWS 1".into(),
            period,
            1_800_000_000_000,
            "figures".into(),
            cells,
        )?;

        ledger.insert(Arc::new(part));
        period = period.next();
    }

    Ok(ledger)
}

fn month(period: Period, cells: usize, random: &mut StdRng) -> Result<Cells, Box<dyn Error>> {
    let mut builder = CellsBuilder::new(vec!["model".into(), "team".into()]);
    let providers = ["AWS", "Google Cloud", "Microsoft"];
    while builder.len() < cells {
        let account = format!("account-{}", random.random_range(0..20));
        let region = format!("region-{}", random.random_range(0..8));
        let zone = format!("{region}{}", ["a", "b", "c"][random.random_range(0..3)]);
        let service = random.random_range(0..40);
        let service_name = format!("Service {service}");
        let model = format!("model-{}", random.random_range(0..20));
        let team = format!("team-{}", random.random_range(0..10));
        let key = CellKey {
            day: Date::from_calendar_date(
                period.year,
                period.month,
                random.random_range(1..=period.days()),
            )?,
            kind: ChargeKind::Usage,
            pricing: [
                PricingClass::OnDemand,
                PricingClass::Spot,
                PricingClass::Committed,
            ][random.random_range(0..3)],
            currency: Currency::USD,
            texts: [
                providers[random.random_range(0..3)],
                &account,
                &region,
                &zone,
                &service_name,
                ["Compute", "Storage", "Networking"][service % 3],
            ],
            tags: &[&model, &team],
        };

        let place = builder.place(&key);
        let amount = Amount(random.random_range(0..10i128.pow(18)));
        builder.add(
            place,
            Sums {
                effective: amount,
                billed: amount,
                list: amount,
                rows: 24,
            },
        );
    }

    Ok(builder.finish())
}
