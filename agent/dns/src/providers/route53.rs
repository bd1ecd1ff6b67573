//! Amazon Route 53: weighted, failover or latency record sets for the service, with health checks
//! created in advance.
//!
//! Planned changes and ramps go through the API, fenced; an emergency needs no API call, since
//! Route 53's own checkers ask the agents for their verdicts. Pure: [`settings`], [`weights`],
//! [`wanted`], [`fence`], [`records`], [`checks`], [`changes`], [`bucket`]. With IO: [`api`],
//! [`mod@write`], [`verify`].

pub(crate) mod api;
pub(crate) mod bucket;
pub(crate) mod changes;
pub(crate) mod checks;
mod convert;
mod errors;
pub(crate) mod fence;
pub(crate) mod records;
pub(crate) mod settings;
#[cfg(test)]
mod tests;
pub(crate) mod verify;
pub(crate) mod wanted;
pub(crate) mod weights;
mod write;

use super::{
    DnsProvider, OnProgress, Preview, Propagation, ProviderError, Published, Receipt,
    metrics::ProviderMetrics,
};
use crate::config::{Config, Route53Config};
use api::{Api, HostedZone, Timeouts};
use async_trait::async_trait;
use aws_config::{BehaviorVersion, Region, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_route53::{
    Client,
    config::{ProvideCredentials, SharedCredentialsProvider},
};
use aws_smithy_http_client::tls;
use changes::Refusal;
use checks::{CheckPlan, plan_checks};
use errors::PROVIDER;
use regionmesh_protocol::plan::CommittedPlan;
use settings::Settings;
use std::{
    collections::BTreeSet,
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::sync::OnceCell;

/// The region that requests to Route 53, which is global, are signed for.
const SIGNING_REGION: &str = "us-east-1";
/// How long connecting to the API may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

pub struct Route53 {
    settings: Settings,
    api: Api,
    /// Read once: neither the zone's name nor its servers change.
    zone: OnceCell<HostedZone>,
    verify: bool,
    name_servers: Vec<SocketAddr>,
    metrics: ProviderMetrics,
}

impl Route53 {
    /// With the credentials of the environment or the platform.
    pub(crate) async fn connect(
        config: &Config,
        section: &Route53Config,
        metrics: ProviderMetrics,
    ) -> Self {
        let timeout = Timeouts::default();
        let ambient = None::<SharedCredentialsProvider>;
        let client = client(section.endpoint_url.as_deref(), &timeout, ambient).await;
        Self::new(config, section, client, timeout, metrics)
    }

    /// With an existing client.
    pub fn new(
        config: &Config,
        section: &Route53Config,
        client: Client,
        timeout: Timeouts,
        metrics: ProviderMetrics,
    ) -> Self {
        metrics.begin(PROVIDER);
        Self {
            settings: Settings::new(config, section),
            api: Api::new(
                client,
                section.zone_id.clone(),
                section.requests_per_second,
                timeout,
                metrics.clone(),
            ),
            zone: OnceCell::new(),
            verify: section.verify,
            name_servers: section.name_servers.clone(),
            metrics,
        }
    }

    async fn zone(&self) -> Result<&HostedZone, ProviderError> {
        let zone = self.zone.get_or_try_init(|| self.api.hosted_zone()).await?;
        let rest = self.settings.zone.strip_suffix(zone.name.as_str());
        if rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.')) {
            return Ok(zone);
        }

        Err(ProviderError::Misconfigured(format!(
            "the hosted zone {} holds {}, and dns.zone {} is not in it; correct \
                dns.route53.zone_id or dns.zone",
            self.settings.zone_id, zone.name, self.settings.zone
        )))
    }

    fn refuse(plan: &CommittedPlan, refusal: &Refusal) -> ProviderError {
        let plan = plan.stamp.to_string();
        match refusal {
            Refusal::Fenced { .. } => ProviderError::Fenced {
                plan,
                why: refusal.to_string(),
            },
            _ => ProviderError::Blocked {
                plan,
                why: refusal.to_string(),
            },
        }
    }
}

#[async_trait]
impl DnsProvider for Route53 {
    fn name(&self) -> &'static str {
        PROVIDER
    }

    async fn preview(&self, plan: &CommittedPlan) -> Result<Preview, ProviderError> {
        self.zone().await?;
        let records = self.api.records(&self.settings.zone).await?;
        let found = self
            .api
            .checks(|reference| checks::is_own(&self.settings, reference))
            .await?;
        let checks = plan_checks(&self.settings, &found);
        let zone = changes::plan_zone(
            &self.settings,
            plan,
            &records,
            &checks.decisive,
            String::new,
        )
        .map_err(|refusal| Self::refuse(plan, &refusal))?;

        let drifted = if zone.is_drift {
            zone.differences.len()
        } else {
            0
        };

        self.metrics
            .drift
            .with_label_values(&[PROVIDER])
            .set(i64::try_from(drifted).unwrap_or(i64::MAX));

        Ok(Preview {
            provider: PROVIDER,
            zone: self.settings.zone.clone(),
            plan: plan.stamp.to_string(),
            written_from: zone.fence.as_ref().map(ToString::to_string),
            is_drift: zone.is_drift,
            new_checks: checks
                .create
                .iter()
                .map(checks::WantedCheck::title)
                .collect(),
            obsolete_checks: ids(&checks),
            batches: zone.batches.len(),
            notes: zone.notes,
            differences: zone.differences,
        })
    }

    async fn publish(
        &self,
        plan: &CommittedPlan,
        on_progress: OnProgress<'_>,
    ) -> Result<Published, ProviderError> {
        let published = match self.zone().await {
            Ok(_) => self.write(plan, on_progress).await,
            Err(error) => Err(error),
        };
        let outcome = match &published {
            Ok(published) if published.batches > 0 => "changed",
            Ok(_) => "unchanged",
            Err(error) => error.outcome(),
        };

        self.metrics
            .publishes
            .with_label_values(&[PROVIDER, outcome])
            .inc();

        match &published {
            Ok(published) => {
                let seq = i64::try_from(plan.stamp.seq).unwrap_or(i64::MAX);
                self.metrics
                    .plan_seq
                    .with_label_values(&[PROVIDER])
                    .set(seq);

                self.metrics.drift.with_label_values(&[PROVIDER]).set(0);
                tracing::info!(
                    plan = %plan.stamp, outcome, zone = published.zone, batches = published.batches,
                    records = published.differences.len(), new_checks = published.new_checks.len(),
                    "Route 53 matches the plan"
                );
            }
            Err(error) => {
                tracing::warn!(plan = %plan.stamp, outcome, %error, "Route 53 does not match the \
                    plan");
            }
        }

        published
    }

    async fn await_propagation(
        &self,
        published: &Published,
        on_progress: OnProgress<'_>,
    ) -> Result<Propagation, ProviderError> {
        let Receipt {
            changes, expected, ..
        } = &published.receipt;
        let begin = Instant::now();
        let mut propagation = Propagation::default();

        if !changes.is_empty() {
            on_progress("waiting until all of Route 53's name servers have it");
            self.wait_in_sync(changes, begin).await?;
            self.metrics.in_sync.observe(begin.elapsed().as_secs_f64());
            propagation.in_sync_ms =
                Some(u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX));
        }

        propagation.deleted_checks = self.delete_obsolete(published).await?;
        if !self.verify {
            propagation
                .notes
                .push("the name servers were not asked: dns.route53.verify is off".into());
            return Ok(propagation);
        }

        on_progress("asking the zone's name servers");
        let servers = verify::servers(&self.name_servers, self.zone().await?).await?;
        if servers.is_empty() {
            propagation.notes.push(
                "the hosted zone names no servers (is it private?), so none was asked".into(),
            );
            return Ok(propagation);
        }

        verify::until_visible(&servers, expected, self.api.timeout()).await?;
        propagation.verified = servers.iter().map(ToString::to_string).collect();
        if published.batches > 0 && published.made_ms > 0 {
            let visible_ms = regionmesh_runtime::time::unix_ms().saturating_sub(published.made_ms);
            self.metrics
                .visible
                .observe(Duration::from_millis(visible_ms).as_secs_f64());
            tracing::info!(
                plan = published.plan,
                visible_ms,
                servers = servers.len(),
                "every name server answers the plan"
            );
        }

        Ok(propagation)
    }
}

fn ids(checks: &CheckPlan) -> Vec<String> {
    let ids: BTreeSet<_> = checks
        .obsolete
        .iter()
        .map(|check| check.id.clone())
        .collect();

    ids.into_iter().collect()
}

/// A client of the API. Credentials, unless given, are those of the environment or the platform.
pub async fn client(
    endpoint_url: Option<&str>,
    timeout: &Timeouts,
    credentials: Option<impl ProvideCredentials + 'static>,
) -> Client {
    // The TLS provider of the whole workspace; see its Cargo.toml.
    let provider = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::AwsLc);
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(provider)
        .build_https();
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(timeout.request)
        .build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http)
        .region(Region::new(SIGNING_REGION))
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts);

    if let Some(credentials) = credentials {
        loader = loader.credentials_provider(credentials);
    }

    let shared = loader.load().await;
    let mut builder = aws_sdk_route53::config::Builder::from(&shared);
    if let Some(url) = endpoint_url {
        builder = builder.endpoint_url(url);
    }

    Client::from_conf(builder.build())
}
