//! Who an agent is, and who is at the other end: certificates with SPIFFE IDs, checked against the
//! mesh's authorities.
//!
//! A peer's region and name come from the URI SAN of its certificate alone (X.509-SVID §5); DNS
//! names are not looked at. A dialler says in the server name which region it wants to reach, and
//! refuses a certificate of another. There is no session resumption: every connection shows a
//! certificate, so that an expired one is noticed.

mod files;
mod verifier;

use super::{ca, metrics::MeshMetrics, settings::TlsConfig};
use arc_swap::ArcSwap;
use files::{Loaded, check_chain, read};
use regionmesh_core::gossip::{Signer, Verifier};
use regionmesh_protocol::{
    identity::{AgentId, MeshName, RegionName, parse_spiffe_id},
    wire::{ALPN_BULK, ALPN_CONTROL},
};
use rustls::{
    SignatureScheme,
    client::{ResolvesClientCert, Resumption},
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, UnixTime},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};
use verifier::PeerVerifier;
pub(crate) use verifier::readable;
use webpki::{EndEntityCert, KeyUsage};

/// How often the files are looked at for new certificates.
pub(crate) const RELOAD_EVERY: Duration = Duration::from_secs(2);
/// Longest certificate chain accepted from a board entry.
const CHAIN_MAX: usize = 8;

/// Why an identity could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file is missing or not what it should be.
    #[error("{path}: {why}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The certificate is somebody else's.
    #[error(
        "{path} is the certificate of {found}, but the configuration says {expected}; issue one \
            with: regionmesh ca issue"
    )]
    NotOurs {
        /// The file.
        path: PathBuf,
        /// The SPIFFE ID in it.
        found: String,
        /// The SPIFFE ID that the configuration asks for.
        expected: String,
    },
    /// The certificate is not valid now, or not issued by the configured authorities.
    #[error("{path} would be refused by every peer: {why}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

/// An agent's certificate, key and authorities, as the files say now.
pub struct Identity {
    mesh: MeshName,
    id: AgentId,
    files: TlsConfig,
    provider: Arc<CryptoProvider>,
    loaded: ArcSwap<Loaded>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identity({})", self.id.spiffe_id(&self.mesh))
    }
}

/// The one TLS provider of the process, AES-128-GCM first: it moves twice what AES-256 or ChaCha20
/// do here.
pub fn crypto_provider() -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    provider
        .cipher_suites
        .sort_by_key(|suite| suite.suite() != rustls::CipherSuite::TLS13_AES_128_GCM_SHA256);
    Arc::new(provider)
}

impl Identity {
    /// Reads `files` and checks that they are those of agent `id` of `mesh`.
    pub fn load(mesh: MeshName, id: AgentId, files: TlsConfig) -> Result<Arc<Self>, IdentityError> {
        let provider = crypto_provider();
        let expected = id.spiffe_id(&mesh);
        let loaded = read(&files, expected, &provider)?;
        Ok(Arc::new(Self {
            mesh,
            id,
            files,
            provider,
            loaded: ArcSwap::from_pointee(loaded),
        }))
    }

    /// Who we are.
    pub(crate) fn id(&self) -> &AgentId {
        &self.id
    }

    /// Reads the files again; tells whether anything changed. With an error the earlier certificate
    /// stays in use.
    pub(crate) fn reload(&self) -> Result<bool, IdentityError> {
        let expected = self.id.spiffe_id(&self.mesh);
        let loaded = read(&self.files, expected, &self.provider)?;
        if loaded.fingerprint == self.loaded.load().fingerprint {
            return Ok(false);
        }
        self.loaded.store(Arc::new(loaded));
        Ok(true)
    }

    /// When our certificate expires, Unix seconds.
    pub(crate) fn expires_s(&self) -> i64 {
        self.validity_s().map_or(0, |(_, not_after)| not_after)
    }

    /// How long our certificate is valid from its first to its last second.
    pub(crate) fn lifetime_s(&self) -> i64 {
        self.validity_s().map_or(0, |(not_before, not_after)| {
            not_after.saturating_sub(not_before)
        })
    }

    fn validity_s(&self) -> Option<(i64, i64)> {
        let loaded = self.loaded.load();
        let (_, leaf) = x509_parser::parse_x509_certificate(loaded.key.cert.first()?).ok()?;
        let validity = leaf.validity();

        Some((
            validity.not_before.timestamp(),
            validity.not_after.timestamp(),
        ))
    }

    /// TLS for accepted connections, control and bulk.
    pub(crate) fn server_config(
        self: &Arc<Self>,
        metrics: MeshMetrics,
    ) -> Result<rustls::ServerConfig, rustls::Error> {
        let mut config = rustls::ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(Arc::new(PeerVerifier {
                identity: self.clone(),
                metrics: Some(metrics),
            }))
            .with_cert_resolver(Arc::new(OurCertificate(self.clone())));

        config.alpn_protocols = vec![ALPN_CONTROL.to_vec(), ALPN_BULK.to_vec()];
        config.send_tls13_tickets = 0;
        Ok(config)
    }

    /// TLS for dialled connections that speak `alpn`.
    pub(crate) fn client_config(
        self: &Arc<Self>,
        alpn: &[u8],
    ) -> Result<rustls::ClientConfig, rustls::Error> {
        let mut config = rustls::ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(PeerVerifier {
                identity: self.clone(),
                metrics: None,
            }))
            .with_client_cert_resolver(Arc::new(OurCertificate(self.clone())));

        config.alpn_protocols = vec![alpn.to_vec()];
        config.resumption = Resumption::disabled();
        Ok(config)
    }

    /// Checks that `chain` was issued by our authorities, is valid `now`, and names an agent of our
    /// mesh; which one.
    fn check(
        &self,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
        usage: KeyUsage,
    ) -> Result<AgentId, String> {
        let loaded = self.loaded.load();
        check_chain(&self.provider, &loaded.roots, chain, now, usage)?;

        let (mesh, id) = spiffe_of(chain.first().ok_or("no certificate")?)?;
        if mesh != self.mesh {
            return Err(format!("it is of mesh {mesh}, this is {}", self.mesh));
        }
        Ok(id)
    }
}

/// The server name to dial so that only agents of `region` are accepted.
pub(crate) fn server_name(region: &RegionName) -> String {
    format!("{region}.region.regionmesh.invalid")
}

/// The agent named by a leaf certificate that was verified already.
pub(crate) fn agent_of(leaf: &CertificateDer<'_>) -> Result<AgentId, String> {
    spiffe_of(leaf).map(|(_, id)| id)
}

fn spiffe_of(leaf: &CertificateDer<'_>) -> Result<(MeshName, AgentId), String> {
    // X.509-SVID §2: exactly one URI.
    match &ca::uris(leaf)?[..] {
        [uri] => parse_spiffe_id(uri).map_err(|error| error.to_string()),
        uris => Err(format!(
            "it has {} URI names, an agent's has one",
            uris.len()
        )),
    }
}

#[derive(Debug)]
struct OurCertificate(Arc<Identity>);

impl ResolvesServerCert for OurCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.loaded.load().key.clone())
    }
}

impl ResolvesClientCert for OurCertificate {
    fn resolve(
        &self,
        _issuers: &[&[u8]],
        _schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        Some(self.0.loaded.load().key.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl Signer for Identity {
    fn chain(&self) -> Vec<Vec<u8>> {
        self.loaded
            .load()
            .key
            .cert
            .iter()
            .map(|certificate| certificate.to_vec())
            .collect()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, String> {
        let loaded = self.loaded.load();
        let schemes = self
            .provider
            .signature_verification_algorithms
            .supported_schemes();
        let signer = loaded
            .key
            .key
            .choose_scheme(&schemes)
            .ok_or("the key fits no signature scheme")?;
        let mut signature = u16::from(signer.scheme()).to_be_bytes().to_vec();

        signature.extend(signer.sign(message).map_err(|error| error.to_string())?);
        Ok(signature)
    }
}

impl Verifier for Identity {
    fn check_chain(&self, owner: &AgentId, chain: &[Vec<u8>]) -> Result<(), String> {
        if chain.len() > CHAIN_MAX {
            return Err(format!(
                "a chain of {} certificates, the limit is {CHAIN_MAX}",
                chain.len()
            ));
        }

        let chain: Vec<_> = chain
            .iter()
            .map(|der| CertificateDer::from(der.as_slice()))
            .collect();
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_err(|error| error.to_string())?;
        let id = self.check(
            &chain,
            UnixTime::since_unix_epoch(now),
            KeyUsage::client_auth(),
        )?;

        if &id == owner {
            Ok(())
        } else {
            Err(format!("the certificate is that of {id}, not of {owner}"))
        }
    }

    fn check_signature(
        &self,
        chain: &[Vec<u8>],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), String> {
        let (scheme, signature) = signature
            .split_first_chunk::<2>()
            .ok_or("the signature is too short")?;
        let scheme = SignatureScheme::from(u16::from_be_bytes(*scheme));
        let leaf = CertificateDer::from(chain.first().ok_or("no certificate")?.as_slice());
        let leaf = EndEntityCert::try_from(&leaf).map_err(|error| error.to_string())?;
        let algorithms = &self.provider.signature_verification_algorithms;
        let (_, candidates) = algorithms
            .mapping
            .iter()
            .find(|(known, _)| *known == scheme)
            .ok_or_else(|| format!("signature scheme {scheme:?} is not supported"))?;

        candidates
            .iter()
            .map(|algorithm| leaf.verify_signature(*algorithm, message, signature))
            .find(Result::is_ok)
            .map_or_else(
                || Err("the signature is not that of the certificate's key".into()),
                |_| Ok(()),
            )
    }
}
