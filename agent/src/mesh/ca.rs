//! A small certificate authority.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use regionmesh_protocol::identity::{AgentId, MeshName};
use std::path::{Path, PathBuf};

/// Why.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CaError(String);

/// Paths.
#[derive(Debug)]
pub struct IssuedPaths {
    /// Chain.
    pub certificate: PathBuf,
    /// Key.
    pub key: PathBuf,
    /// Authority.
    pub ca: PathBuf,
}

fn fail(error: impl std::fmt::Display) -> CaError {
    CaError(error.to_string())
}

/// Makes an authority.
pub fn init(dir: &Path, mesh: &MeshName, _days: u32) -> Result<(), CaError> {
    std::fs::create_dir_all(dir).map_err(fail)?;
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().map_err(fail)?;
    let certificate = params.self_signed(&key).map_err(fail)?;
    std::fs::write(dir.join("mesh"), mesh.as_str()).map_err(fail)?;
    std::fs::write(dir.join("ca.pem"), certificate.pem()).map_err(fail)?;
    std::fs::write(dir.join("ca.key"), key.serialize_pem()).map_err(fail)
}

/// Issues a certificate.
pub fn issue(dir: &Path, id: &AgentId, _days: u32, out: &Path) -> Result<IssuedPaths, CaError> {
    let mesh = std::fs::read_to_string(dir.join("mesh")).map_err(fail)?.parse().map_err(fail)?;
    let ca_key = KeyPair::from_pem(&std::fs::read_to_string(dir.join("ca.key")).map_err(fail)?).map_err(fail)?;
    let mut ca_params = CertificateParams::default();
    ca_params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = Issuer::new(ca_params, ca_key);
    let mut params = CertificateParams::default();
    params.subject_alt_names.push(SanType::URI(id.spiffe_id(&mesh).try_into().map_err(fail)?));
    let key = KeyPair::generate().map_err(fail)?;
    let certificate = params.signed_by(&key, &issuer).map_err(fail)?;
    let paths = IssuedPaths { certificate: out.join("cert.pem"), key: out.join("key.pem"), ca: dir.join("ca.pem") };
    std::fs::write(&paths.certificate, certificate.pem()).map_err(fail)?;
    std::fs::write(&paths.key, key.serialize_pem()).map_err(fail)?;
    Ok(paths)
}
