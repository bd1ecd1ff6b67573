//! Draws faults by swarm testing (Groce et al. 2012): each run has a random subset of the kinds of
//! faults, at random rates. Runs with few kinds reach states that runs with all of them never do.

use super::{
    fault::{DiskFate, EndpointState, Fault, FaultKind, OrderKind, StoreFault},
    models::acts,
    shape::{Profile, Shape},
    streams::{Purpose, stream},
};
use rand::{RngExt, rngs::StdRng};

/// The kinds of faults that a run may have or not.
const KINDS: u8 = 17;

/// Endpoints are down for longer than other faults last: DNS has 15 seconds to be right.
const OUTAGE_FACTOR: u64 = 3;

/// In so many runs, operators drain all regions, or all that work.
const DRAINS_ALL: f64 = 0.15;

/// The faults of a run, in the order of their times.
pub(crate) fn draw(shape: &Shape, profile: Profile) -> Vec<Fault> {
    match profile {
        Profile::Swarm => swarm(shape),
        Profile::Lossy => bursts(shape),
        Profile::Calm => Vec::new(),
    }
}

/// A second of silence from one region after another.
fn bursts(shape: &Shape) -> Vec<Fault> {
    let mut rng = stream(shape.seed, Purpose::Faults, 0);
    let mut faults = Vec::new();
    let mut at_ms = 0;
    loop {
        at_ms += rng.random_range(2_000..30_000);
        if at_ms >= shape.faults_ms {
            return faults;
        }

        let from = rng.random_range(0..shape.regions);
        faults.push(Fault {
            at_ms,
            for_ms: 1_000,
            kind: FaultKind::Bursts {
                from,
                on_ms: 1_000,
                off_ms: 1_000,
            },
        });
    }
}

fn swarm(shape: &Shape) -> Vec<Fault> {
    let mut rng = stream(shape.seed, Purpose::Faults, 0);
    let is_rich = rng.random_bool(0.5);
    let mut faults = Vec::new();

    for kind in 0..KINDS {
        // Each kind has a stream of its own.
        let mut rng = stream(shape.seed, Purpose::Faults, u64::from(kind) + 1);
        if !rng.random_bool(if is_rich { 0.6 } else { 0.25 }) {
            continue;
        }

        let mean_ms = rng.random_range(8_000.0..90_000.0);
        let mut at_ms = 0;
        loop {
            let part: f64 = rng.random_range(f64::EPSILON..1.0);
            at_ms += (-part.ln() * mean_ms) as u64;
            if at_ms >= shape.faults_ms {
                break;
            }

            let kind = fault(kind, shape, &mut rng);
            let for_ms = match kind {
                FaultKind::Endpoint { .. } => OUTAGE_FACTOR * duration(&mut rng),
                _ => duration(&mut rng),
            };
            let fault = Fault {
                at_ms,
                for_ms,
                kind,
            };
            faults.extend(sequel(&fault, shape, &mut rng));
            faults.push(fault);
        }
    }

    faults.extend(drains(shape));
    let users = acts::draw(shape, &faults);
    faults.extend(users);
    if let Some(store) = shape.forged_store {
        for _ in 0..rng.random_range(1..5) {
            faults.push(Fault {
                at_ms: rng.random_range(0..shape.faults_ms),
                for_ms: 0,
                kind: FaultKind::ForgeSlots { store },
            });
        }
    }

    faults.sort_by_key(|fault| fault.at_ms);
    faults
}

/// Troubles that come together: an endpoint fails again soon after it came back, and another
/// region's fails while one is drained.
fn sequel(first: &Fault, shape: &Shape, rng: &mut StdRng) -> Option<Fault> {
    let (pause_ms, region, state) = match first.kind {
        FaultKind::Endpoint { region, state } => (first.for_ms + 6_000, region, state),
        FaultKind::Order {
            order: OrderKind::Drain { region },
            ..
        } => (0, (region + 1) % shape.regions, EndpointState::Refusing),
        _ => return None,
    };

    let at_ms = first.at_ms + pause_ms + rng.random_range(0..9_000);
    let sequel = Fault {
        at_ms,
        for_ms: OUTAGE_FACTOR * duration(rng),
        kind: FaultKind::Endpoint { region, state },
    };
    (rng.random_bool(0.5) && at_ms < shape.faults_ms).then_some(sequel)
}

/// In a few runs, operators drain one region after another, and spare none, one or two. Then the
/// endpoints fail that users are left with. All of this lasts until the mesh has healed, when the
/// laws judge it in any case.
fn drains(shape: &Shape) -> Vec<Fault> {
    let mut rng = stream(shape.seed, Purpose::Faults, u64::from(KINDS) + 1);
    if !rng.random_bool(DRAINS_ALL) {
        return Vec::new();
    }

    let first = rng.random_range(0..shape.regions);
    let mut order: Vec<usize> = (0..shape.regions).collect();
    order.rotate_left(first);
    let spared = [0, 1, 1, 2][rng.random_range(0..4)].min(shape.regions - 1);
    let drained = shape.regions - spared;
    let mut at_ms = shape
        .faults_ms
        .saturating_sub(rng.random_range(20_000..60_000));
    let mut faults = Vec::new();

    for region in &order[..drained] {
        faults.push(Fault {
            at_ms,
            for_ms: rng.random_range(25_000..30_000),
            kind: FaultKind::Order {
                agent: rng.random_range(0..shape.agents()),
                order: OrderKind::Drain { region: *region },
            },
        });
        at_ms += rng.random_range(1_000..4_000);
    }

    // If none is spared, users are left with the one drained last.
    for region in &order[drained.min(shape.regions - 1)..] {
        faults.push(Fault {
            at_ms,
            for_ms: rng.random_range(60_000..90_000),
            kind: FaultKind::Endpoint {
                region: *region,
                state: EndpointState::Refusing,
            },
        });
        at_ms += rng.random_range(1_000..4_000);
    }

    faults.retain(|fault| fault.at_ms < shape.faults_ms);
    faults
}

/// From a fraction of a second to half a minute, evenly on a logarithmic scale.
fn duration(rng: &mut StdRng) -> u64 {
    let exponent: f64 = rng.random_range(2.3..4.5);
    10f64.powf(exponent) as u64
}

fn fault(kind: u8, shape: &Shape, rng: &mut StdRng) -> FaultKind {
    let agent = rng.random_range(0..shape.agents());
    let region = rng.random_range(0..shape.regions);
    let other = (region + rng.random_range(1..shape.regions.max(2))) % shape.regions;
    let stores = shape.regions + usize::from(shape.has_witness);
    let store = rng.random_range(0..stores);
    let ppm = 10f64.powf(rng.random_range(3.0..5.7)) as u64;
    let on_ms = rng.random_range(100..3_000);
    let off_ms = rng.random_range(100..5_000);

    match kind {
        0 => FaultKind::Crash {
            agent,
            disk: [DiskFate::Kept, DiskFate::Lost, DiskFate::Copied][rng.random_range(0..3)],
        },
        1 => FaultKind::Pause { agent },
        2 => FaultKind::CutOneWay {
            from: region,
            to: other,
        },
        3 => FaultKind::Cut {
            from: region,
            to: other,
        },
        4 => FaultKind::Isolate { region },
        5 => FaultKind::Flap {
            from: region,
            to: other,
            on_ms,
            off_ms,
        },
        6 => FaultKind::Bursts {
            from: region,
            on_ms: on_ms.min(1_000),
            off_ms: off_ms.max(1_000),
        },
        7 => FaultKind::Loss { ppm },
        8 => FaultKind::Duplicates { ppm },
        9 => FaultKind::Late {
            ppm,
            most_ms: rng.random_range(200..5_000),
        },
        10 => FaultKind::Store {
            store,
            kind: store_fault(ppm, rng),
        },
        11 => FaultKind::LoseSlots {
            store,
            which: rng.random_range(0..4),
        },
        12 => FaultKind::Unconditional { region },
        13 => FaultKind::SetClock {
            agent,
            by_ms: rng.random_range(-120_000..120_000),
        },
        14 => FaultKind::Endpoint {
            region,
            state: endpoint_state(ppm, rng),
        },
        15 => FaultKind::Order {
            agent,
            order: override_order(region, rng),
        },
        _ => FaultKind::Order {
            agent,
            order: match rng.random_bool(0.5) {
                true => OrderKind::RemoveMember { region },
                false => OrderKind::AddMember { region },
            },
        },
    }
}

fn store_fault(ppm: u64, rng: &mut StdRng) -> StoreFault {
    match rng.random_range(0..5) {
        0 => StoreFault::Slow {
            factor: rng.random_range(2..100),
        },
        1 => StoreFault::LosesReplies { ppm },
        2 => StoreFault::Unavailable { ppm },
        3 => StoreFault::RepeatsWrites { ppm },
        _ => StoreFault::Forgets { ppm },
    }
}

fn endpoint_state(ppm: u64, rng: &mut StdRng) -> EndpointState {
    match rng.random_range(0..6) {
        0 | 1 => EndpointState::Refusing,
        2 | 3 => EndpointState::Hanging,
        4 => EndpointState::Unreachable,
        _ => EndpointState::Gray { ppm },
    }
}

fn override_order(region: usize, rng: &mut StdRng) -> OrderKind {
    match rng.random_range(0..6) {
        0 | 1 => OrderKind::Drain { region },
        2 => OrderKind::Hold {
            region: rng.random_bool(0.5).then_some(region),
        },
        3 => OrderKind::Promote {
            region,
            is_immediate: rng.random_bool(0.5),
        },
        _ => OrderKind::Restore { region },
    }
}
