//! `[health]`: probes of endpoints, their interval, and the criteria of failure.

use super::RegionConfig;
use regionmesh_core::health::{
    gray::{GrayConclusion, GrayPolicy},
    probe::ProbePolicy,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::PathBuf};

/// Probing of endpoints.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HealthConfig {
    /// Kind of probe.
    pub probe: ProbeKind,
    /// Path of an `http`, `https` or `inference` probe; 2xx is success. By default the readiness
    /// path of the Open Inference Protocol.
    pub path: String,
    /// Time between probes, milliseconds.
    #[schemars(range(min = 10, max = 60_000))]
    pub interval_ms: u64,
    /// Timeout of one probe, its retry included, milliseconds.
    #[schemars(range(min = 1))]
    pub timeout_ms: u64,
    /// Consecutive definite failures (refused, reset, not 2xx) until an endpoint is failed.
    #[schemars(range(min = 1))]
    pub failures: u32,
    /// Pause before a probe that confirms a definite failure, milliseconds. A value of
    /// `interval_ms` or more turns quicker confirmation off.
    #[schemars(range(min = 10, max = 60_000))]
    pub confirm_interval_ms: u64,
    /// Time that definite failures must span before an endpoint is failed, milliseconds. Make it
    /// longer than an endpoint takes to restart.
    #[schemars(range(max = 60_000))]
    pub evidence_ms: u64,
    /// Consecutive successes until a failed endpoint is healthy again.
    #[schemars(range(min = 1))]
    pub successes: u32,
    /// Time without an answer until an endpoint is suspect, milliseconds; less than `silent_ms`.
    pub suspect_ms: u64,
    /// Time without an answer until an endpoint is failed, milliseconds. 8 s: bursts of packet loss
    /// on long links look like silence for a few seconds.
    pub silent_ms: u64,
    /// `host:port` of TCP services outside the mesh. An observer that reaches none of them
    /// abstains.
    pub canaries: Vec<String>,
    /// Whether each of a region's addresses is probed separately, under the name in `serving_url`.
    /// If not, only `serving_url` is probed, and DNS answers all addresses or none.
    pub each_address: bool,
    /// A region has failed if fewer of its addresses work.
    #[schemars(range(min = 1))]
    pub minimum_addresses: u16,
    /// PEM file with CA certificates to verify `https://` endpoints with. Default: the platform's.
    pub ca_file: Option<PathBuf>,
    /// The name that the certificate of an `https://` endpoint must have. Default: the host in
    /// `serving_url`.
    pub server_name: Option<String>,
    /// Gray failure: an endpoint that answers, but too often with errors or too late.
    pub gray: GrayPolicy,
    /// The synthetic inference of an `inference` probe: a request with a known answer.
    pub inference: Option<InferenceConfig>,
}

impl Default for HealthConfig {
    fn default() -> Self {
        let policy = ProbePolicy::DEFAULT;
        Self {
            probe: ProbeKind::Http,
            path: "/v2/health/ready".into(),
            interval_ms: policy.interval_ms,
            timeout_ms: 1_000,
            failures: policy.failures,
            confirm_interval_ms: policy.confirm_interval_ms,
            evidence_ms: policy.evidence_ms,
            successes: policy.successes,
            suspect_ms: policy.suspect_ms,
            silent_ms: policy.silent_ms,
            canaries: Vec::new(),
            each_address: true,
            minimum_addresses: 1,
            ca_file: None,
            server_name: None,
            gray: GrayPolicy::default(),
            inference: None,
        }
    }
}

/// Kind of probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeKind {
    /// GET the path; 2xx is success. Over TLS where `serving_url` is `https://`.
    Http,
    /// As `http`, and every `serving_url` must be `https://`.
    Https,
    /// A TCP connection is established.
    Tcp,
    /// As `http`, and periodically a synthetic inference with a known answer.
    Inference,
}

/// A synthetic inference: a request with a known answer (Open Inference Protocol).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InferenceConfig {
    /// The model's name.
    pub model: String,
    /// Its version or alias. Default: the endpoint's default.
    #[serde(default)]
    pub version: Option<String>,
    /// Run a synthetic inference on every n-th probe, and after each failed one. 20: every 10 s.
    #[serde(default = "default_every")]
    #[schemars(range(min = 1))]
    pub every: u32,
    /// The request's body: JSON, at most 64 KiB.
    pub request: String,
    /// Expected values of outputs, flattened: numbers within `tolerance`, everything else exactly.
    pub expect: BTreeMap<String, Vec<serde_json::Value>>,
    /// Highest absolute difference of a number. 0.0001: engines and machines differ in the last
    /// digits of 32-bit floats.
    #[serde(default = "default_tolerance")]
    #[schemars(range(min = 0.0))]
    pub tolerance: f64,
}

fn default_every() -> u32 {
    20
}

fn default_tolerance() -> f64 {
    1e-4
}

/// Limit on a synthetic request, bytes: every observer sends it to every address.
const REQUEST_MAX: usize = 64 << 10;

impl HealthConfig {
    /// The criteria of failure, for people.
    pub fn in_words(&self) -> Vec<String> {
        let gray = &self.gray;
        let taken_for = match gray.conclude {
            GrayConclusion::Suspect => "suspect",
            GrayConclusion::Failed => "failed",
        };
        let mut criteria = vec![
            format!(
                "a probe every {} ms, {} ms at most; failed after {} bad answers in a row, {} ms \
                    apart and over at least {} ms, or after {} ms of silence; suspect after {} \
                    ms; healthy again after {} good ones",
                self.interval_ms,
                self.timeout_ms,
                self.failures,
                self.confirm_interval_ms.min(self.interval_ms),
                self.evidence_ms,
                self.silent_ms,
                self.suspect_ms,
                self.successes
            ),
            format!("a region needs {} of its addresses", self.minimum_addresses),
        ];

        if gray.error_percent > 0 {
            criteria.push(format!(
                "{taken_for} when {} % of the last {} probes failed, until {} % of that",
                gray.error_percent, gray.window, gray.clear_percent
            ));
        }

        if gray.latency_ms > 0 {
            criteria.push(format!(
                "{taken_for} when {} % of them take up to more than {} ms, until {} % of that",
                gray.quantile_percent, gray.latency_ms, gray.clear_percent
            ));
        }

        if let Some(inference) = &self.inference {
            criteria.push(format!(
                "every {}th probe is an inference with {}",
                inference.every, inference.model
            ));
        }

        if self.canaries.is_empty() {
            criteria.push("no canaries: an observer that is cut off does not know it".into());
        }
        criteria
    }

    pub(super) fn faults(&self, regions: &[RegionConfig]) -> Vec<String> {
        [self.probing_faults(), self.kind_faults(regions)].concat()
    }

    fn probing_faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.suspect_ms >= self.silent_ms {
            faults.push("health.suspect_ms must be less than health.silent_ms".into());
        }

        if !self.path.starts_with('/') {
            faults.push(format!(
                "health.path: {:?} does not begin with /",
                self.path
            ));
        }

        if let Some(name) = &self.server_name
            && rustls::pki_types::ServerName::try_from(name.as_str()).is_err()
        {
            faults.push(format!(
                "health.server_name: {name:?} is neither a name nor an address"
            ));
        }

        faults
    }

    /// Faults of settings that depend on the kind of probe.
    fn kind_faults(&self, regions: &[RegionConfig]) -> Vec<String> {
        let mut faults = Vec::new();
        if self.probe == ProbeKind::Https {
            let others = regions
                .iter()
                .filter(|region| !region.serving_url.starts_with("https://"));
            faults.extend(others.map(|region| {
                format!(
                    "regions.{}.serving_url: health.probe is https, and it is not https://",
                    region.name
                )
            }));
        }

        match (&self.inference, self.probe) {
            (None, ProbeKind::Inference) => {
                faults.push(
                    "health.probe is inference: health.inference must say which request to send"
                        .into(),
                );
            }
            (Some(_), ProbeKind::Http | ProbeKind::Https | ProbeKind::Tcp) => {
                faults
                    .push("health.inference only counts with health.probe = \"inference\"".into());
            }
            (Some(inference), ProbeKind::Inference) => faults.extend(inference.faults()),
            (None, _) => {}
        }

        faults
    }
}

impl InferenceConfig {
    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let is_name = |name: &String| {
            !name.is_empty()
                && name
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        };

        if !is_name(&self.model)
            || self
                .version
                .as_ref()
                .is_some_and(|version| !is_name(version))
        {
            faults.push("health.inference: model and version are made of A-Z a-z 0-9 . _ -".into());
        }

        if let Err(error) = serde_json::from_str::<serde_json::Value>(&self.request) {
            faults.push(format!("health.inference.request is not JSON: {error}"));
        }

        if self.request.len() > REQUEST_MAX {
            faults.push(format!(
                "health.inference.request: more than {REQUEST_MAX} bytes"
            ));
        }

        if self.expect.is_empty() {
            faults.push(
                "health.inference.expect: name at least one output and what it must hold".into(),
            );
        }

        faults
    }
}
