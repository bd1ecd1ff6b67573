//! Simulates whole meshes; see [`regionmesh_sim::mesh`].

use mimalloc::MiMalloc;
use std::process::ExitCode;

/// Cores allocate a lot: a fifth of a run's time with the system's allocator.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    regionmesh_sim::mesh::command()
}
