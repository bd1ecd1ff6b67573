//! What a probe asks, and of whom.

use crate::config::{HealthConfig, ProbeKind};

/// Why an endpoint can't be probed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{url:?} can't be probed: expected http://host:port or tcp://host:port")]
pub struct TargetError {
    /// The endpoint as configured.
    pub url: String,
}

/// An endpoint and the question to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// A name or an address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Path of the GET; none for a TCP probe.
    pub path: Option<String>,
}

impl Target {
    /// The probe of `url` that `config` asks for. `tcp://` is probed by connecting, whatever the configured kind.
    pub fn new(url: &str, config: &HealthConfig) -> Result<Self, TargetError> {
        let error = || TargetError { url: url.chars().take(200).collect() };
        let uri: http::Uri = url.parse().map_err(|_| error())?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(error)?;
        let host = host.trim_matches(['[', ']']).to_owned();
        let (port, path) = match (uri.scheme_str(), config.probe) {
            (Some("http"), ProbeKind::Http) => {
                let path = format!("{}{}", uri.path().trim_end_matches('/'), config.path);
                (uri.port_u16().unwrap_or(80), Some(path))
            }
            (Some("http"), ProbeKind::Tcp) => (uri.port_u16().unwrap_or(80), None),
            (Some("tcp"), _) => (uri.port_u16().ok_or_else(error)?, None),
            _ => return Err(error()),
        };
        Ok(Self { host, port, path })
    }

    /// A TCP probe of `host:port`.
    pub fn canary(authority: &str) -> Result<Self, TargetError> {
        let error = || TargetError { url: authority.chars().take(200).collect() };
        let authority: http::uri::Authority = authority.parse().map_err(|_| error())?;
        let port = authority.port_u16().ok_or_else(error)?;
        Ok(Self { host: authority.host().trim_matches(['[', ']']).to_owned(), port, path: None })
    }

    /// `host:port`, for the Host header (RFC 9110 §7.2) and for people.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}
