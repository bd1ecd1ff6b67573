//! The certificate files, read and checked.

use super::error::IdentityError;
use crate::{ca, settings::TlsConfig};
use rustls::{
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, TrustAnchor, UnixTime, pem::PemObject},
    sign::CertifiedKey,
};
use std::{path::PathBuf, sync::Arc};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

/// The contents of the files at one time.
pub(crate) struct Loaded {
    pub(crate) key: Arc<CertifiedKey>,
    pub(crate) roots: Vec<TrustAnchor<'static>>,
    /// Hash of all files, to detect changes.
    pub(crate) fingerprint: blake3::Hash,
}

/// Reads the files of the agent whose SPIFFE ID is `expected`.
pub(crate) fn read(
    tls: &TlsConfig,
    expected: String,
    provider: &CryptoProvider,
) -> Result<Loaded, IdentityError> {
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

    let roots = read_roots(&ca).map_err(|why| file(&tls.ca, why))?;
    let chain = CertificateDer::pem_slice_iter(&certificate)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| file(&tls.certificate, error.to_string()))?;
    let leaf = chain
        .first()
        .ok_or_else(|| file(&tls.certificate, "no certificate in it".into()))?;
    let found = ca::uris(leaf)
        .map_err(|why| file(&tls.certificate, why))?
        .join(", ");

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

fn read_roots(pem: &[u8]) -> Result<Vec<TrustAnchor<'static>>, String> {
    let roots = CertificateDer::pem_slice_iter(pem)
        .map(|root| {
            let root = root.map_err(|error| error.to_string())?;
            anchor_from_trusted_cert(&root)
                .map(|anchor| anchor.to_owned())
                .map_err(|error| error.to_string())
        })
        .collect::<Result<Vec<_>, String>>()?;

    if roots.is_empty() {
        return Err("no certificate in it".into());
    }
    Ok(roots)
}

pub(crate) fn check_chain(
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
