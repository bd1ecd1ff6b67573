//! The mesh's part of the configuration.

use super::Config;
use regionmesh_mesh::{RegionEndpoint, Settings};

impl Config {
    /// Listen address and peers of the mesh.
    pub fn mesh_settings(&self) -> Settings {
        let regions = self.regions.iter().map(|region| RegionEndpoint {
            name: region.name.clone(),
            endpoint: region.endpoint.clone(),
        });

        Settings {
            listen: self.listen.mesh,
            regions: regions.collect(),
            local_peers: self.local_peers.clone(),
        }
    }
}
