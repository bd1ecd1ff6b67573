//! Random numbers: one stream for each purpose, all derived from the run's seed. A fault that is
//! left out of a schedule changes no draw of another stream.

use rand::{SeedableRng, rngs::StdRng};

/// What a stream is for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    /// Regions, agents, delays, settings.
    Shape,
    /// Which faults there are, and when.
    Faults,
    /// Delay, loss and order of one agent's packets.
    Network,
    /// One agent's own draws.
    Node,
    /// One store's delays and failures.
    Store,
    /// Endpoints, users, resolvers.
    Users,
    /// What users do with models, and their part of the stores.
    Models,
}

/// Whether an event with a probability of `ppm` in a million happens, by 20 bits of a draw.
pub(crate) fn hits(draw: u64, shift: u32, ppm: u64) -> bool {
    ((draw >> shift & 0xf_ffff) * 1_000_000) >> 20 < ppm
}

/// The `index`-th stream for `purpose`.
pub(crate) fn stream(seed: u64, purpose: Purpose, index: u64) -> StdRng {
    let mut hasher = blake3::Hasher::new_derive_key("regionmesh-sim stream 1");
    hasher.update(&seed.to_le_bytes());
    hasher.update(&[purpose as u8]);
    hasher.update(&index.to_le_bytes());
    StdRng::from_seed(*hasher.finalize().as_bytes())
}
