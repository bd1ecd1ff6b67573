//! A small certificate authority for `up` and for installations without their own.
//!
//! Certificates carry a SPIFFE ID in their URI SAN (X.509-SVID §2); the authority's carries its
//! trust domain, from which [`issue_certificate`] takes the mesh's name. Private keys are
//! written with mode 0600 and never overwritten.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, string::Ia5String,
};
use regionmesh_protocol::identity::{AgentId, IdentityError, MeshName};
use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// File name of the authority's certificate.
pub const CA_CERTIFICATE: &str = "ca.pem";
/// File name of the authority's private key.
pub const CA_KEY: &str = "ca.key";
/// Backdating of a new certificate, for clock skew.
const BACKDATE: time::Duration = time::Duration::minutes(5);

/// Why a certificate could not be created.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// An authority exists already.
    #[error("{0} exists already and is not overwritten; move it away to start a new one")]
    Exists(PathBuf),
    /// The authority does not exist or can't be read.
    #[error(
        "cannot read the authority's {path}: {error}; make one with: regionmesh ca init --mesh \
            NAME --dir DIR"
    )]
    Missing { path: PathBuf, error: io::Error },
    /// A file could not be written.
    #[error("cannot write {path}: {error}")]
    Unwritable { path: PathBuf, error: io::Error },
    /// The files are not those of a RegionMesh authority.
    #[error("{path} is not the certificate of a RegionMesh authority: {why}")]
    Foreign { path: PathBuf, why: String },
    /// The lifetime is out of range.
    #[error("{0} days is not a lifetime; give 1 to 36500")]
    Lifetime(u32),
    /// Making a key or signing failed.
    #[error("cannot make the certificate: {0}")]
    Crypto(#[from] rcgen::Error),
    /// The names are not a valid identity.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// Where an agent's files are.
#[derive(Debug, Clone)]
pub struct IssuedPaths {
    /// Its certificate chain.
    pub certificate: PathBuf,
    /// Its private key, mode 0600.
    pub key: PathBuf,
    /// The authority's certificate.
    pub ca: PathBuf,
}

/// Creates an authority for `mesh` in `dir`, valid for `days`.
pub fn init_authority(dir: &Path, mesh: &MeshName, days: u32) -> Result<(), CaError> {
    let certificate = dir.join(CA_CERTIFICATE);
    let key = dir.join(CA_KEY);
    for path in [&certificate, &key] {
        if path.exists() {
            return Err(CaError::Exists(path.clone()));
        }
    }

    fs::create_dir_all(dir).map_err(|error| CaError::Unwritable {
        path: dir.into(),
        error,
    })?;

    let mut params = params(days)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
        .distinguished_name
        .push(DnType::CommonName, format!("RegionMesh {mesh}"));
    params.subject_alt_names = vec![SanType::URI(uri(&format!("spiffe://{mesh}"))?)];

    let pair = KeyPair::generate()?;
    let signed = params.self_signed(&pair)?;

    // The key first: a certificate without its key would look like a working authority.
    write_new(&key, pair.serialize_pem().as_bytes(), 0o600)?;
    write_new(&certificate, signed.pem().as_bytes(), 0o644)
}

/// Issues a certificate for `id`, valid for `days`, from the authority in `dir` into `out`, as
/// `<region>.<agent>.pem` and `.key`, with a copy of the authority's `ca.pem`.
pub fn issue_certificate(
    dir: &Path,
    id: &AgentId,
    days: u32,
    out: &Path,
) -> Result<IssuedPaths, CaError> {
    let ca_path = dir.join(CA_CERTIFICATE);
    let read =
        |path: PathBuf| fs::read_to_string(&path).map_err(|error| CaError::Missing { path, error });
    let ca = read(ca_path.clone())?;
    let ca_key = KeyPair::from_pem(&read(dir.join(CA_KEY))?)?;
    let mesh = mesh_of(&ca).map_err(|why| CaError::Foreign {
        path: ca_path.clone(),
        why,
    })?;
    let issuer = Issuer::from_ca_cert_pem(&ca, ca_key)?;

    let mut params = params(days)?;
    params
        .distinguished_name
        .push(DnType::CommonName, id.to_string());
    params.subject_alt_names = vec![SanType::URI(uri(&id.spiffe_id(&mesh))?)];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];

    let pair = KeyPair::generate()?;
    let signed = params.signed_by(&pair, &issuer)?;

    fs::create_dir_all(out).map_err(|error| CaError::Unwritable {
        path: out.into(),
        error,
    })?;

    let stem = format!("{}.{}", id.region, id.agent);
    let paths = IssuedPaths {
        certificate: out.join(format!("{stem}.pem")),
        key: out.join(format!("{stem}.key")),
        ca: out.join(CA_CERTIFICATE),
    };

    write_new(&paths.key, pair.serialize_pem().as_bytes(), 0o600)?;
    write_new(&paths.certificate, signed.pem().as_bytes(), 0o644)?;
    if !paths.ca.exists() {
        write_new(&paths.ca, ca.as_bytes(), 0o644)?;
    }

    Ok(paths)
}

fn params(days: u32) -> Result<CertificateParams, CaError> {
    if !(1..=36_500).contains(&days) {
        return Err(CaError::Lifetime(days));
    }

    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();

    let now = time::OffsetDateTime::now_utc();
    params.not_before = now - BACKDATE;
    params.not_after = now + time::Duration::days(days.into());
    Ok(params)
}

fn uri(text: &str) -> Result<Ia5String, rcgen::Error> {
    Ia5String::try_from(text)
}

/// The trust domain in an authority's certificate.
fn mesh_of(pem: &str) -> Result<MeshName, String> {
    let (_, block) =
        x509_parser::pem::parse_x509_pem(pem.as_bytes()).map_err(|error| error.to_string())?;
    let uris = uris(&block.contents)?;
    let domain = uris
        .iter()
        .find_map(|uri| uri.strip_prefix("spiffe://"))
        .ok_or("it names no SPIFFE trust domain")?;

    domain
        .parse()
        .map_err(|error: IdentityError| error.to_string())
}

/// The URIs in the subject alternative name of a DER certificate.
pub(crate) fn uris(der: &[u8]) -> Result<Vec<String>, String> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
    let names = certificate
        .subject_alternative_name()
        .map_err(|error| error.to_string())?;

    Ok(names
        .iter()
        .flat_map(|names| &names.value.general_names)
        .filter_map(|name| match name {
            GeneralName::URI(uri) => Some((*uri).to_owned()),
            _ => None,
        })
        .collect())
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), CaError> {
    use std::os::unix::fs::OpenOptionsExt;

    let fail = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => CaError::Exists(path.into()),
        _ => CaError::Unwritable {
            path: path.into(),
            error,
        },
    };

    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .map_err(fail)?;

    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .map_err(fail)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn issued_certificates_name_their_authoritys_mesh_and_keys_are_private() {
        let dir = tempfile::tempdir().unwrap();
        init_authority(dir.path(), &"prod.example.org".parse().unwrap(), 30).unwrap();

        let id: AgentId = "eu-west-1/node-3".parse().unwrap();
        let paths = issue_certificate(dir.path(), &id, 7, &dir.path().join("out")).unwrap();
        let pem = fs::read(&paths.certificate).unwrap();
        let (_, block) = x509_parser::pem::parse_x509_pem(&pem).unwrap();

        assert_eq!(
            uris(&block.contents).unwrap(),
            ["spiffe://prod.example.org/region/eu-west-1/agent/node-3"]
        );

        for key in [dir.path().join(CA_KEY), paths.key] {
            assert_eq!(
                fs::metadata(key).unwrap().permissions().mode() & 0o777,
                0o600
            );
        }
    }

    #[test]
    fn existing_authority_and_certificates_are_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let mesh = "m".parse().unwrap();
        init_authority(dir.path(), &mesh, 30).unwrap();
        assert!(matches!(
            init_authority(dir.path(), &mesh, 30),
            Err(CaError::Exists(_))
        ));

        let id: AgentId = "a/b".parse().unwrap();
        issue_certificate(dir.path(), &id, 7, dir.path()).unwrap();
        assert!(matches!(
            issue_certificate(dir.path(), &id, 7, dir.path()),
            Err(CaError::Exists(_))
        ));
    }

    #[test]
    fn without_an_authority_the_error_names_the_command_that_creates_one() {
        let dir = tempfile::tempdir().unwrap();
        let error =
            issue_certificate(dir.path(), &"a/b".parse().unwrap(), 7, dir.path()).unwrap_err();
        assert!(error.to_string().contains("regionmesh ca init"), "{error}");
    }
}
