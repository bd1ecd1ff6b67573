//! Names in certificates and handshakes.

use crate::ca;
use regionmesh_protocol::identity::{AgentId, MeshName, RegionName, parse_spiffe_id};
use rustls::pki_types::CertificateDer;

/// The server name to dial so that only agents of `region` are accepted.
pub(crate) fn server_name(region: &RegionName) -> String {
    format!("{region}.region.regionmesh.invalid")
}

/// The agent named by a verified leaf certificate.
pub(crate) fn agent_of(leaf: &CertificateDer<'_>) -> Result<AgentId, String> {
    spiffe_of(leaf).map(|(_, id)| id)
}

pub(crate) fn spiffe_of(leaf: &CertificateDer<'_>) -> Result<(MeshName, AgentId), String> {
    // X.509-SVID §2: exactly one URI.
    match &ca::uris(leaf)?[..] {
        [uri] => parse_spiffe_id(uri).map_err(|error| error.to_string()),
        uris => Err(format!(
            "it has {} URI names, an agent's has one",
            uris.len()
        )),
    }
}
