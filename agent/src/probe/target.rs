//! Endpoints, and the question of a probe.

use crate::config::{HealthConfig, InferenceConfig, ProbeKind};
use bytes::Bytes;
use std::{net::IpAddr, sync::Arc};

/// Why an endpoint can't be probed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{url:?} can't be probed: expected http://host:port, https://host:port or tcp://host:port")]
pub struct TargetError {
    /// The endpoint as configured.
    pub url: String,
}

/// The question of a probe.
#[derive(Debug, Clone, PartialEq)]
pub enum Question {
    /// Does it accept connections?
    Connect,
    /// GET of a path: is it 2xx?
    Get(String),
    /// A synthetic inference: is the answer the expected one?
    Infer {
        /// Path of the POST.
        path: String,
        body: Bytes,
        /// The expected answer.
        expected: Arc<InferenceConfig>,
    },
}

/// An endpoint and the question to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// A name or an address, without brackets; also the Host header and the TLS server name.
    pub host: String,
    pub port: u16,
    /// The address to connect to; none: that of `host`.
    pub address: Option<IpAddr>,
    /// Whether to use TLS.
    pub is_tls: bool,
    pub question: Question,
}

impl Target {
    /// The probe of `url` that `config` asks for. `tcp://` is probed by connecting, whatever the
    /// configured kind.
    pub fn new(url: &str, config: &HealthConfig) -> Result<Self, TargetError> {
        let error = || TargetError {
            url: url.chars().take(200).collect(),
        };
        let uri: http::Uri = url.parse().map_err(|_| error())?;
        let host = uri
            .host()
            .filter(|host| !host.is_empty())
            .ok_or_else(error)?;
        let host = host.trim_matches(['[', ']']).to_owned();

        let (port, is_tls) = match uri.scheme_str() {
            Some("http") => (uri.port_u16().unwrap_or(80), false),
            Some("https") => (uri.port_u16().unwrap_or(443), true),
            Some("tcp") => (uri.port_u16().ok_or_else(error)?, false),
            _ => return Err(error()),
        };
        let is_connect = config.probe == ProbeKind::Tcp || uri.scheme_str() == Some("tcp");
        let question = if is_connect {
            Question::Connect
        } else {
            Question::Get(below(&uri, &config.path))
        };

        // A connect probe does not include the TLS handshake.
        Ok(Self {
            host,
            port,
            address: None,
            is_tls: is_tls && !is_connect,
            question,
        })
    }

    /// The synthetic inference at `url`, if `config` asks for one.
    pub fn inference(url: &str, config: &HealthConfig) -> Result<Option<Self>, TargetError> {
        let Some(inference) = config
            .inference
            .as_ref()
            .filter(|_| config.probe == ProbeKind::Inference)
        else {
            return Ok(None);
        };
        let target = Self::new(url, config)?;

        if target.question == Question::Connect {
            return Ok(None);
        }

        let version = inference
            .version
            .as_ref()
            .map(|version| format!("/versions/{version}"))
            .unwrap_or_default();
        let uri: http::Uri = url.parse().map_err(|_| TargetError {
            url: url.chars().take(200).collect(),
        })?;
        let question = Question::Infer {
            path: below(
                &uri,
                &format!("/v2/models/{}{version}/infer", inference.model),
            ),
            body: inference.request.clone().into(),
            expected: Arc::new(inference.clone()),
        };

        Ok(Some(Self { question, ..target }))
    }

    /// The same question to one address of the endpoint.
    pub fn at(self, address: Option<IpAddr>) -> Self {
        Self { address, ..self }
    }

    /// A TCP probe of `host:port`.
    pub fn canary(authority: &str) -> Result<Self, TargetError> {
        let error = || TargetError {
            url: authority.chars().take(200).collect(),
        };
        let authority: http::uri::Authority = authority.parse().map_err(|_| error())?;
        let port = authority.port_u16().ok_or_else(error)?;
        let host = authority.host().trim_matches(['[', ']']).to_owned();

        Ok(Self {
            host,
            port,
            address: None,
            is_tls: false,
            question: Question::Connect,
        })
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

fn below(uri: &http::Uri, path: &str) -> String {
    format!("{}{path}", uri.path().trim_end_matches('/'))
}
