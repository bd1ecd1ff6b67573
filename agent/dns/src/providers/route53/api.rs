//! The Route 53 API: requests are paced, retried if that is safe, counted, and converted to our
//! types.
//!
//! The SDK's own retries are off: which failures may be retried depends on the request. A throttled
//! request (Throttling, PriorRequestNotComplete) did nothing and is retried; one without an answer
//! may have been executed and is retried only if it is idempotent.

use super::{
    bucket::TokenBucket,
    changes::Change,
    checks::{FoundCheck, WantedCheck},
    convert,
    errors::{ErrorClass, PROVIDER, classify, too_many},
    records::RecordSet,
};
use crate::providers::{ProviderError, metrics::ProviderMetrics};
use aws_sdk_route53::{
    Client,
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    types::{ChangeStatus, Tag, TagResourceType},
};
use parking_lot::Mutex;
use regionmesh_core::backoff::Backoff;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// Pauses after throttled requests, each with jitter.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(8));
/// Record sets and health checks read at most: a zone of 10,000 sets is the most that an account
/// has by default.
const LISTED_MAX: usize = 10_000;
/// Resources whose tags one request may ask for.
const TAGGED_AT_ONCE: usize = 10;

/// Timeouts of requests and of waiting for a change.
#[derive(Debug, Clone)]
pub struct Timeouts {
    /// One request.
    pub request: Duration,
    /// One request with all its retries.
    pub operation: Duration,
    /// Until all of Route 53's name servers have a change; usually up to 60 s.
    pub in_sync: Duration,
    /// Pause between two polls for it.
    pub poll: Duration,
    /// Until the name servers answer the change.
    pub visible: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            request: Duration::from_secs(10),
            operation: Duration::from_secs(60),
            in_sync: Duration::from_secs(180),
            poll: Duration::from_secs(2),
            visible: Duration::from_secs(30),
        }
    }
}

/// Whether an unanswered request may be retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repeat {
    /// It is idempotent.
    Always,
    /// Only if it certainly had no effect.
    IfPutOff,
}

/// A hosted zone.
#[derive(Debug, Clone)]
pub(crate) struct HostedZone {
    /// Its name, lower case, with a dot at the end.
    pub(crate) name: String,
    /// Names of its servers; empty for a private zone.
    pub(crate) name_servers: Vec<String>,
}

/// The API of one account, for one zone.
pub(crate) struct Api {
    client: Client,
    zone_id: String,
    bucket: Mutex<TokenBucket>,
    timeout: Timeouts,
    metrics: ProviderMetrics,
}

impl Api {
    /// The API for one zone, at most `per_second` requests a second.
    pub(crate) fn new(
        client: Client,
        zone_id: String,
        per_second: u32,
        timeout: Timeouts,
        metrics: ProviderMetrics,
    ) -> Self {
        let bucket = Mutex::new(TokenBucket::new(per_second, Instant::now()));
        Self {
            client,
            zone_id,
            bucket,
            timeout,
            metrics,
        }
    }

    /// Timeouts of requests and of waiting for a change.
    pub(crate) fn timeout(&self) -> &Timeouts {
        &self.timeout
    }

    /// The zone itself.
    pub(crate) async fn hosted_zone(&self) -> Result<HostedZone, ProviderError> {
        let answer = self
            .call("GetHostedZone", Repeat::Always, || {
                self.client.get_hosted_zone().id(&self.zone_id).send()
            })
            .await?;
        let name = answer
            .hosted_zone()
            .map(|zone| convert::name(zone.name()))
            .unwrap_or_default();

        let servers = answer
            .delegation_set()
            .map(|set| set.name_servers().to_vec())
            .unwrap_or_default();

        Ok(HostedZone {
            name,
            name_servers: servers,
        })
    }

    /// Every record set at or below `name`.
    pub(crate) async fn records(&self, name: &str) -> Result<Vec<RecordSet>, ProviderError> {
        // Sets are sorted by their labels from the root, so those below a name follow it directly.
        let mut start = (Some(name.to_owned()), None, None);
        let mut records = Vec::new();
        loop {
            let page = self
                .call("ListResourceRecordSets", Repeat::Always, || {
                    self.client
                        .list_resource_record_sets()
                        .hosted_zone_id(&self.zone_id)
                        .set_start_record_name(start.0.clone())
                        .set_start_record_type(start.1.clone())
                        .set_start_record_identifier(start.2.clone())
                        .send()
                })
                .await?;

            let below = |set: &RecordSet| {
                set.name
                    .strip_suffix(name)
                    .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            };

            for set in page.resource_record_sets().iter().map(convert::record_set) {
                if !below(&set) {
                    return Ok(records);
                }
                records.push(set);
            }

            if !page.is_truncated() {
                return Ok(records);
            }

            if records.len() > LISTED_MAX {
                return Err(too_many(
                    "ListResourceRecordSets",
                    LISTED_MAX,
                    "record sets below the mesh's zone",
                ));
            }

            start = (
                page.next_record_name().map(str::to_owned),
                page.next_record_type().cloned(),
                page.next_record_identifier().map(str::to_owned),
            );
        }
    }

    /// Every health check of the account that `is_own` accepts, with its tags.
    pub(crate) async fn checks(
        &self,
        is_own: impl Fn(&str) -> bool,
    ) -> Result<Vec<FoundCheck>, ProviderError> {
        let mut marker = None::<String>;
        let mut checks = Vec::new();
        let mut seen = 0;

        loop {
            let page = self
                .call("ListHealthChecks", Repeat::Always, || {
                    self.client
                        .list_health_checks()
                        .set_marker(marker.clone())
                        .send()
                })
                .await?;

            seen += page.health_checks().len();
            checks.extend(
                page.health_checks()
                    .iter()
                    .filter(|check| is_own(check.caller_reference()))
                    .map(convert::check),
            );

            if !page.is_truncated() {
                break;
            }
            if seen > LISTED_MAX {
                return Err(too_many(
                    "ListHealthChecks",
                    LISTED_MAX,
                    "health checks in the account",
                ));
            }
            marker = page.next_marker().map(str::to_owned);
        }

        for some in checks.chunks_mut(TAGGED_AT_ONCE) {
            let ids: Vec<String> = some.iter().map(|check| check.id.clone()).collect();
            let answer = self
                .call("ListTagsForResources", Repeat::Always, || {
                    self.client
                        .list_tags_for_resources()
                        .resource_type(TagResourceType::Healthcheck)
                        .set_resource_ids(Some(ids.clone()))
                        .send()
                })
                .await?;

            for set in answer.resource_tag_sets() {
                let Some(check) = some
                    .iter_mut()
                    .find(|check| Some(check.id.as_str()) == set.resource_id())
                else {
                    continue;
                };

                let pair = |tag: &Tag| {
                    Some((
                        tag.key()?.to_owned(),
                        tag.value().unwrap_or_default().to_owned(),
                    ))
                };

                check.tags = set.tags().iter().filter_map(pair).collect();
            }
        }

        Ok(checks)
    }

    /// Creates a health check; none if its caller reference was already used.
    pub(crate) async fn create_check(
        &self,
        check: &WantedCheck,
        reference: &str,
    ) -> Result<Option<FoundCheck>, ProviderError> {
        let config = convert::check_config(&check.config)?;
        let made = self
            .call("CreateHealthCheck", Repeat::Always, || {
                self.client
                    .create_health_check()
                    .caller_reference(reference)
                    .health_check_config(config.clone())
                    .send()
            })
            .await;

        match made {
            Ok(made) => Ok(made.health_check().map(convert::check)),
            Err(ProviderError::Refused { code, .. }) if code == "HealthCheckAlreadyExists" => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Tags a health check.
    pub(crate) async fn tag_check(
        &self,
        id: &str,
        tags: &BTreeMap<String, String>,
    ) -> Result<(), ProviderError> {
        let tags: Vec<_> = tags
            .iter()
            .map(|(key, value)| Tag::builder().key(key).value(value).build())
            .collect();

        self.call("ChangeTagsForResource", Repeat::Always, || {
            self.client
                .change_tags_for_resource()
                .resource_type(TagResourceType::Healthcheck)
                .resource_id(id)
                .set_add_tags(Some(tags.clone()))
                .send()
        })
        .await
        .map(drop)
    }

    /// Deletes a health check; succeeds if it no longer exists.
    pub(crate) async fn delete_check(&self, id: &str) -> Result<(), ProviderError> {
        let deleted = self
            .call("DeleteHealthCheck", Repeat::Always, || {
                self.client.delete_health_check().health_check_id(id).send()
            })
            .await;

        match deleted {
            Err(ProviderError::Refused { code, .. }) if code == "NoSuchHealthCheck" => Ok(()),
            other => other.map(drop),
        }
    }

    /// Applies the changes, all or none; returns the change's ID. Not retried without an answer.
    pub(crate) async fn change(
        &self,
        changes: &[Change],
        comment: &str,
    ) -> Result<String, ProviderError> {
        let batch = convert::batch(changes, comment)?;
        let answer = self
            .call("ChangeResourceRecordSets", Repeat::IfPutOff, || {
                self.client
                    .change_resource_record_sets()
                    .hosted_zone_id(&self.zone_id)
                    .change_batch(batch.clone())
                    .send()
            })
            .await?;

        Ok(answer
            .change_info()
            .map(|info| info.id().trim_start_matches("/change/").to_owned())
            .unwrap_or_default())
    }

    /// Whether all of Route 53's name servers have a change.
    pub(crate) async fn is_in_sync(&self, change: &str) -> Result<bool, ProviderError> {
        let answer = self
            .call("GetChange", Repeat::Always, || {
                self.client.get_change().id(change).send()
            })
            .await?;

        Ok(answer
            .change_info()
            .is_some_and(|info| *info.status() == ChangeStatus::Insync))
    }

    async fn call<T, E, F>(
        &self,
        operation: &'static str,
        repeat: Repeat,
        send: impl Fn() -> F,
    ) -> Result<T, ProviderError>
    where
        E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        let begin = Instant::now();
        let mut backoff = BACKOFF;
        loop {
            let wait = self.bucket.lock().take(Instant::now());

            tokio::time::sleep(wait).await;
            let asked = Instant::now();
            let class = match send().await {
                Ok(answer) => {
                    self.metrics
                        .request(PROVIDER, operation, "ok", asked.elapsed());
                    tracing::debug!(
                        operation,
                        took_ms = asked.elapsed().as_millis() as u64,
                        "Route 53 answered"
                    );

                    return Ok(answer);
                }
                Err(error) => classify(error),
            };

            let (outcome, code) = match &class {
                ErrorClass::Throttled { code } => ("throttled", code.as_str()),
                ErrorClass::Unanswered { why } => ("unanswered", why.as_str()),
                ErrorClass::Refused { code, .. } => ("refused", code.as_str()),
            };

            self.metrics
                .request(PROVIDER, operation, outcome, asked.elapsed());
            tracing::warn!(
                operation,
                outcome,
                code,
                "a request to Route 53 did not succeed"
            );

            let may_repeat = match &class {
                ErrorClass::Throttled { .. } => true,
                ErrorClass::Unanswered { .. } => repeat == Repeat::Always,
                ErrorClass::Refused { .. } => false,
            };

            let pause = backoff.next_pause();
            if !may_repeat || begin.elapsed() + pause > self.timeout.operation {
                return Err(class.into_error(operation, begin.elapsed()));
            }

            // At least half of the pause, the rest random: writers that collided must not collide
            // again.
            tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..=1.0))).await;
        }
    }
}
