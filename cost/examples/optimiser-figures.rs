//! How long a placement of 8 regions × 20 models takes, surviving the loss of a region: `cargo run
//! --release -p regionmesh-cost --example optimiser-figures [SEEDS]`.
//!
//! Regions lie on a circle, some 30 ms apart; prices, demand and models are drawn from seeds, so
//! every run has the same inputs.

use regionmesh_cost::{
    Amount, CommittedOffer, Currency, ModelDemand, Money, NodeOffer, OriginDemand, PlacementError,
    PlacementInput, PlacementRules, RegionOffer, SpotOffer, placement,
};
use std::{
    error::Error,
    sync::LazyLock,
    time::{Duration, Instant},
};

const REGIONS: usize = 8;
const MODELS: usize = 20;
const RUNS: u32 = 20;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

fn main() -> Result<(), Box<dyn Error>> {
    let seeds: u64 = std::env::args()
        .nth(1)
        .map_or(Ok(40), |text| text.parse())?;
    println!(
        "{REGIONS} regions x {MODELS} models, survive 1, {seeds} inputs, processor time, mean of \
            {RUNS} runs each"
    );

    println!("{:44} {:>8} {:>8} {:>8}", "", "median", "p95", "longest");
    for (what, size, fixed, memory, whole) in [
        ("in fractions", 1.0, 0.0, 0.0, false),
        (
            "in fractions, regions with a fixed cost",
            1.0,
            2.0,
            0.02,
            false,
        ),
        ("and in whole nodes", 1.0, 2.0, 0.02, true),
        (
            "and in whole nodes, a tenth of the load",
            0.1,
            2.0,
            0.02,
            true,
        ),
    ] {
        let mut times = Vec::new();
        for seed in 0..seeds {
            let input = input(&mut Draws(seed), size, fixed, memory, whole)?;
            times.extend(mean_time(&input)?);
        }

        times.sort();
        let at = |part: usize| {
            times
                .get(times.len() * part / 100)
                .or(times.last())
                .copied()
                .unwrap_or_default()
        };
        let ms = |time: Duration| format!("{:.2} ms", time.as_secs_f64() * 1e3);

        println!(
            "{what:44} {:>8} {:>8} {:>8}   {} placed",
            ms(at(50)),
            ms(at(95)),
            ms(at(100)),
            times.len()
        );
    }

    Ok(())
}

/// The mean of some runs; `None` if no placement keeps the limits. Processor time is counted in
/// ticks of 4 ms: one run is too short for it.
fn mean_time(input: &PlacementInput) -> Result<Option<Duration>, PlacementError> {
    let start = processor_time();
    for _ in 0..RUNS {
        match placement(input) {
            Ok(_) => {}
            Err(PlacementError::Infeasible(_)) => return Ok(None),
            Err(error) => return Err(error),
        }
    }

    Ok(Some(processor_time().saturating_sub(start) / RUNS))
}

/// Time that this thread has had of a processor, where the system says: others may be at work on
/// the machine.
fn processor_time() -> Duration {
    let stated = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let stated = stated
        .and_then(|text| text.split(' ').next()?.parse().ok())
        .map(Duration::from_nanos);
    stated.unwrap_or_else(|| START.elapsed())
}

/// Numbers between 0 and 1 (SplitMix64; Steele, Lea and Flood, 2014).
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.next()
    }
}

fn usd(amount: f64) -> Money {
    Money {
        amount: Amount::from_f64(amount).unwrap_or_default(),
        currency: Currency::USD,
    }
}

fn offer(
    draws: &mut Draws,
    index: usize,
    size: f64,
    fixed: f64,
) -> Result<RegionOffer, Box<dyn Error>> {
    let price = draws.between(0.4, 0.9);
    Ok(RegionOffer {
        name: format!("region-{index}").parse()?,
        cloud: ["aws", "gcp", "azure"][index % 3].to_owned(),
        endpoint: String::new(),
        on_demand: NodeOffer {
            price: usd(price),
            nodes_max: 1_000,
        },
        spot: Some(SpotOffer {
            price: usd(price * draws.between(0.3, 0.5)),
            nodes_max: 100,
            loss_per_hour: draws.between(0.0, 0.1),
        }),
        committed: Some(CommittedOffer {
            price: usd(price * draws.between(0.55, 0.7)),
            new_nodes_max: (30.0 * size * draws.next()) as u32,
            paid_nodes: (10.0 * size * draws.next()) as u32,
        }),
        fixed_per_hour: (fixed > 0.0).then(|| usd(fixed)),
    })
}

fn input(
    draws: &mut Draws,
    size: f64,
    fixed: f64,
    memory: f64,
    whole: bool,
) -> Result<PlacementInput, Box<dyn Error>> {
    let name = |index: usize| format!("region-{index}");
    let positions: Vec<f64> = (0..REGIONS)
        .map(|index| index as f64 * 30.0 + draws.between(0.0, 10.0))
        .collect();
    let mut input = PlacementInput {
        regions: Vec::new(),
        models: Vec::new(),
        round_trips_ms: Default::default(),
        egress_per_gb: Default::default(),
        rules: PlacementRules {
            whole_nodes: whole,
            ..PlacementRules::default()
        },
    };

    for index in 0..REGIONS {
        input.regions.push(offer(draws, index, size, fixed)?);

        let egress = usd(draws.between(0.05, 0.12));
        let others = (0..REGIONS).filter(|origin| *origin != index);
        input.egress_per_gb.insert(
            name(index).parse()?,
            others.map(|origin| (name(origin), egress)).collect(),
        );

        let trips = (0..REGIONS).map(|region| {
            let apart = (positions[index] - positions[region]).abs();
            Ok((
                name(region).parse()?,
                apart.min(REGIONS as f64 * 30.0 - apart).abs(),
            ))
        });

        input
            .round_trips_ms
            .insert(name(index), trips.collect::<Result<_, Box<dyn Error>>>()?);
    }

    for index in 0..MODELS {
        let demand = (0..REGIONS).map(|origin| {
            let peak_rps = size * draws.between(1.0, 200.0);
            (
                name(origin),
                OriginDemand {
                    mean_rps: peak_rps * draws.between(0.4, 0.8),
                    peak_rps,
                },
            )
        });

        let demand = demand.collect();
        input.models.push(ModelDemand {
            name: format!("model-{index}").parse()?,
            node_seconds_per_request: draws.between(0.005, 0.05),
            service_ms: draws.between(10.0, 80.0),
            bytes_per_answer: draws.between(1e3, 5e5),
            memory_share: draws.between(0.0, 1.0) * memory * 10.0,
            spot_share_max: 0.5,
            demand,
        });
    }

    Ok(input)
}
