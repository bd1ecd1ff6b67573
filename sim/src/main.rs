//! Simulates whole meshes; see [`regionmesh_sim::mesh`].

use std::process::ExitCode;

fn main() -> ExitCode {
    regionmesh_sim::mesh::command()
}
