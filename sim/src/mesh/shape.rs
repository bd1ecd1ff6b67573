//! What a run consists of, apart from its faults.

use super::streams::{Purpose, stream};
use clap::ValueEnum;
use rand::{RngExt, rngs::StdRng};
use regionmesh_core::{
    planning::Strategy,
    recovery::ramp::{RampStep, RecoveryPolicy},
};

/// Which faults a run has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Profile {
    /// A random subset of all kinds, at random rates.
    #[default]
    Swarm,
    /// 5 % of all packets are lost, and all of a region's for a second now and then. Endpoints
    /// work, so no region may be taken out.
    Lossy,
    /// None.
    Calm,
}

/// What the command line fixes; the seed decides the rest.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Length of the faults, virtual minutes.
    pub minutes: Option<u32>,
    pub regions: Option<usize>,
    pub agents_per_region: Option<usize>,
    pub profile: Profile,
    /// Whether one agent's key is stolen (odd seeds), or the credentials of one store (even seeds).
    pub with_liar: bool,
    /// Whether agents sign whatever a leader proposes, to see that the laws notice.
    pub without_judging: bool,
}

/// A run's regions, agents, settings and distances.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(crate) seed: u64,
    pub(crate) profile: Profile,
    pub(crate) regions: usize,
    pub(crate) agents_per_region: usize,
    pub(crate) has_witness: bool,
    pub(crate) strategy: Strategy,
    pub(crate) recovery: RecoveryPolicy,
    pub(crate) max_out: u16,
    pub(crate) ttl_ms: u64,
    /// How often agents read their regions' stores.
    pub(crate) rescan_ms: u64,
    /// One-way delay from region to region.
    pub(crate) delays_ms: Vec<Vec<u64>>,
    /// Share of packets lost, even without a fault.
    pub(crate) loss_ppm: u64,
    pub(crate) faults_ms: u64,
    /// The agent whose key is stolen.
    pub(crate) liar: Option<usize>,
    /// The store whose credentials are stolen.
    pub(crate) forged_store: Option<usize>,
    pub(crate) judges: bool,
}

impl Shape {
    pub(crate) fn draw(seed: u64, options: &Options) -> Self {
        let mut rng = stream(seed, Purpose::Shape, 0);
        let drawn = [(3, false), (3, false), (3, true), (5, false), (2, true)];
        let (regions, has_witness) = drawn[rng.random_range(0..drawn.len())];
        // Of five agents of a region, two hold no links to others.
        let agents = [1, 1, 1, 1, 2, 2, 3, 5][rng.random_range(0..8)];
        let strategy = match rng.random_range(0..3) {
            0 => Strategy::ActivePassive,
            _ => Strategy::Weighted,
        };
        let minutes = rng.random_range(2..=4);
        let recovery = recovery(&mut rng);
        let ttl_ms = [1_000, 5_000][rng.random_range(0..2)];
        let loss_ppm = [0, 1_000, 20_000, 50_000][rng.random_range(0..4)];
        let liar_draw: u64 = rng.random();

        let has_witness = match options.regions {
            Some(regions) => regions.is_multiple_of(2),
            None => has_witness,
        };
        let regions = options.regions.unwrap_or(regions);
        let agents_per_region = options.agents_per_region.unwrap_or(agents);
        let agents = regions * agents_per_region;
        let stolen = options.with_liar.then_some(liar_draw as usize);
        let (liar, forged_store) = match seed.is_multiple_of(2) {
            true => (None, stolen.map(|draw| draw % regions)),
            false => (stolen.map(|draw| draw % agents), None),
        };

        Self {
            seed,
            profile: options.profile,
            regions,
            agents_per_region,
            has_witness,
            strategy,
            recovery,
            max_out: 1,
            ttl_ms,
            rescan_ms: rescan_ms(seed),
            delays_ms: delays(regions, &mut rng),
            loss_ppm: match options.profile {
                Profile::Swarm => loss_ppm,
                Profile::Lossy => 50_000,
                Profile::Calm => 0,
            },
            faults_ms: u64::from(options.minutes.unwrap_or(minutes)) * 60_000,
            liar,
            forged_store,
            judges: !options.without_judging,
        }
    }

    pub(crate) fn agents(&self) -> usize {
        self.regions * self.agents_per_region
    }

    /// The region of an agent.
    pub(crate) fn region_of(&self, agent: usize) -> usize {
        agent % self.regions
    }
}

/// The default takes 40 minutes; most runs need a quicker one to see a region return.
fn recovery(rng: &mut StdRng) -> RecoveryPolicy {
    if rng.random_bool(0.25) {
        return RecoveryPolicy::default();
    }

    let step = |percent, hold_ms| RampStep { percent, hold_ms };
    RecoveryPolicy {
        cool_down_ms: 5_000,
        cool_down_max_ms: 20_000,
        forget_flaps_ms: 60_000,
        steps: vec![step(5, 4_000), step(50, 4_000)],
        ttl_multiple: 1,
        min_requests: 0,
        ..RecoveryPolicy::default()
    }
}

/// The default takes 100 s to find a lost file.
fn rescan_ms(seed: u64) -> u64 {
    let mut rng = stream(seed, Purpose::Models, u64::MAX);
    [3_000, 10_000][usize::from(rng.random_bool(0.5))]
}

/// Distances as between clouds' regions; the same in both directions.
fn delays(regions: usize, rng: &mut StdRng) -> Vec<Vec<u64>> {
    let mut delays = vec![vec![0; regions]; regions];
    let pairs = (0..regions).flat_map(|from| (0..from).map(move |to| (from, to)));
    for (from, to) in pairs {
        let delay_ms = rng.random_range(2..=120);
        delays[from][to] = delay_ms;
        delays[to][from] = delay_ms;
    }

    delays
}
