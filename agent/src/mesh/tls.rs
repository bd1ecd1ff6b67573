//! Who an agent is, and who is at the other end: certificates with SPIFFE IDs, checked against the
//! mesh's authorities.
//!
//! A peer's region and name come from the URI SAN of its certificate alone (X.509-SVID §5); DNS
//! names are not looked at. A dialler says in the server name which region it wants to reach, and
//! refuses a certificate of another. There is no session resumption: every connection shows a
//! certificate, so that an expired one is noticed.

use super::ca;
use crate::{config::Config, mesh::metrics::MeshMetrics};
use arc_swap::ArcSwap;
use regionmesh_core::gossip::{Signer, Verifier};
use regionmesh_protocol::{
    identity::{AgentId, MeshName, RegionName, parse_spiffe_id},
    wire::{ALPN_BULK, ALPN_CONTROL},
};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, SignatureScheme,
    client::{
        ResolvesClientCert, Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, TrustAnchor, UnixTime, pem::PemObject},
    server::{
        ClientHello, ResolvesServerCert,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::CertifiedKey,
};
use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

/// How often the files are looked at for new certificates.
pub const RELOAD_EVERY: Duration = Duration::from_secs(2);
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

/// What one version of the files says.
struct Loaded {
    key: Arc<CertifiedKey>,
    roots: Vec<TrustAnchor<'static>>,
    /// All files' bytes hashed, to see changes.
    fingerprint: blake3::Hash,
}

/// An agent's certificate, key and authorities, as the files say now.
pub struct Identity {
    mesh: MeshName,
    id: AgentId,
    config: Arc<Config>,
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
pub fn provider() -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    provider
        .cipher_suites
        .sort_by_key(|suite| suite.suite() != rustls::CipherSuite::TLS13_AES_128_GCM_SHA256);
    Arc::new(provider)
}

impl Identity {
    /// Reads the files that the configuration names and checks that they are this agent's.
    pub fn load(config: Arc<Config>) -> Result<Arc<Self>, IdentityError> {
        let provider = provider();
        let loaded = read(&config, &provider)?;
        Ok(Arc::new(Self {
            mesh: config.mesh.clone(),
            id: config.id(),
            config,
            provider,
            loaded: ArcSwap::from_pointee(loaded),
        }))
    }

    /// Who we are.
    pub fn id(&self) -> &AgentId {
        &self.id
    }

    /// Reads the files again; tells whether anything changed. With an error the earlier certificate
    /// stays in use.
    pub fn reload(&self) -> Result<bool, IdentityError> {
        let loaded = read(&self.config, &self.provider)?;
        if loaded.fingerprint == self.loaded.load().fingerprint {
            return Ok(false);
        }
        self.loaded.store(Arc::new(loaded));
        Ok(true)
    }

    /// When our certificate expires, Unix seconds.
    pub fn expires_s(&self) -> i64 {
        self.validity_s().map_or(0, |(_, not_after)| not_after)
    }

    /// How long our certificate is valid from its first to its last second.
    pub fn lifetime_s(&self) -> i64 {
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
    pub fn server_config(
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
    pub fn client_config(
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
pub fn server_name(region: &RegionName) -> String {
    format!("{region}.region.regionmesh.invalid")
}

/// The agent named by a leaf certificate that was verified already.
pub fn agent_of(leaf: &CertificateDer<'_>) -> Result<AgentId, String> {
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

fn check_chain(
    provider: &CryptoProvider,
    roots: &[TrustAnchor<'_>],
    chain: &[CertificateDer<'_>],
    now: UnixTime,
    usage: KeyUsage,
) -> Result<(), String> {
    let (leaf, intermediates) = chain.split_first().ok_or("no certificate")?;
    EndEntityCert::try_from(leaf)
        .and_then(|leaf| {
            let algorithms = provider.signature_verification_algorithms.all;
            leaf.verify_for_usage(algorithms, roots, intermediates, now, usage, None, None)
                .map(drop)
        })
        .map_err(|error| error.to_string())
}

fn read(config: &Config, provider: &CryptoProvider) -> Result<Loaded, IdentityError> {
    let tls = &config.tls;
    let mut hasher = blake3::Hasher::new();
    let mut bytes = |path: &PathBuf| {
        let bytes = std::fs::read(path).map_err(|error| IdentityError::File {
            path: path.clone(),
            why: format!("cannot read it: {error}"),
        })?;

        hasher.update(&bytes);
        Ok(bytes)
    };

    let ca = bytes(&tls.ca)?;
    let certificate = bytes(&tls.certificate)?;
    let key = bytes(&tls.key)?;
    let file = |path: &PathBuf, why: String| IdentityError::File {
        path: path.clone(),
        why,
    };

    let roots = CertificateDer::pem_slice_iter(&ca)
        .map(|root| {
            let root = root.map_err(|error| error.to_string())?;
            anchor_from_trusted_cert(&root)
                .map(|anchor| anchor.to_owned())
                .map_err(|error| error.to_string())
        })
        .collect::<Result<Vec<_>, String>>()
        .map_err(|why| file(&tls.ca, why))?;

    if roots.is_empty() {
        return Err(file(&tls.ca, "no certificate in it".into()));
    }

    let chain = CertificateDer::pem_slice_iter(&certificate)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| file(&tls.certificate, error.to_string()))?;
    let leaf = chain
        .first()
        .ok_or_else(|| file(&tls.certificate, "no certificate in it".into()))?;
    let found = ca::uris(leaf)
        .map_err(|why| file(&tls.certificate, why))?
        .join(", ");
    let expected = config.id().spiffe_id(&config.mesh);

    if found != expected {
        return Err(IdentityError::NotOurs {
            path: tls.certificate.clone(),
            found,
            expected,
        });
    }

    let private =
        PrivateKeyDer::from_pem_slice(&key).map_err(|error| file(&tls.key, error.to_string()))?;
    let signing = provider
        .key_provider
        .load_private_key(private)
        .map_err(|error| file(&tls.key, error.to_string()))?;

    for usage in [KeyUsage::server_auth(), KeyUsage::client_auth()] {
        check_chain(provider, &roots, &chain, UnixTime::now(), usage).map_err(|why| {
            IdentityError::Invalid {
                path: tls.certificate.clone(),
                why,
            }
        })?;
    }

    let key = CertifiedKey::new(chain, signing);
    key.keys_match()
        .map_err(|_| file(&tls.key, "it is not the key of the certificate".into()))?;
    Ok(Loaded {
        key: Arc::new(key),
        roots,
        fingerprint: hasher.finalize(),
    })
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

/// Checks peers on both sides of a handshake.
#[derive(Debug)]
struct PeerVerifier {
    identity: Arc<Identity>,
    /// Where refusals are counted on the accepting side; a dialler counts its own.
    metrics: Option<MeshMetrics>,
}

impl PeerVerifier {
    fn algorithms(&self) -> &WebPkiSupportedAlgorithms {
        &self.identity.provider.signature_verification_algorithms
    }

    fn check(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        usage: KeyUsage,
    ) -> Result<AgentId, rustls::Error> {
        let chain: Vec<_> = std::iter::once(leaf)
            .chain(intermediates)
            .cloned()
            .collect();

        self.identity.check(&chain, now, usage).map_err(|why| {
            if let Some(metrics) = &self.metrics {
                metrics.refuse(
                    "certificate",
                    &format!("a peer's certificate is not accepted: {why}"),
                );
            }

            refusal(why)
        })
    }
}

fn refusal(why: String) -> rustls::Error {
    rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(Refusal(why)))))
}

/// Why a certificate is not accepted. rustls shows such an error in its debug form, so that is
/// plain words, too.
#[derive(thiserror::Error)]
#[error("{0}")]
struct Refusal(String);

impl std::fmt::Debug for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// An error's text without the names that rustls puts round a [`Refusal`].
pub(super) fn readable(error: &str) -> String {
    const BEFORE: &str = "Other(OtherError(";
    match error.split_once(BEFORE) {
        Some((head, refusal)) => format!("{head}{}", refusal.strip_suffix("))").unwrap_or(refusal)),
        None => error.to_owned(),
    }
}

impl ServerCertVerifier for PeerVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let id = self.check(leaf, intermediates, now, KeyUsage::server_auth())?;
        if server_name.to_str() != self::server_name(&id.region) {
            let wanted = server_name.to_str();
            let wanted = wanted.split('.').next().unwrap_or_default();
            return Err(refusal(format!(
                "the agent there is {id}, wanted was one of region {wanted}"
            )));
        }

        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.2 is not spoken here".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, leaf, signed, self.algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms().supported_schemes()
    }
}

impl ClientCertVerifier for PeerVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.check(leaf, intermediates, now, KeyUsage::client_auth())
            .map(|_| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        ServerCertVerifier::verify_tls12_signature(self, message, leaf, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        ServerCertVerifier::verify_tls13_signature(self, message, leaf, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms().supported_schemes()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_in_words() {
        let refused = refusal("it is of mesh b, this is a".into()).to_string();
        assert_eq!(
            readable(&refused),
            "invalid peer certificate: it is of mesh b, this is a"
        );

        // As quinn passes it on.
        let passed_on = format!("the cryptographic handshake failed: error 42: {refused}");
        assert!(
            readable(&passed_on)
                .ends_with("error 42: invalid peer certificate: it is of mesh b, this is a")
        );

        assert_eq!(readable("timed out"), "timed out");
    }
}
