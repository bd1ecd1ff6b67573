//! Writes a plan to the zone: health checks first, then the record sets in fenced batches.

use super::{
    Route53,
    changes::{Batch, ZonePlan, plan_zone, read_fence},
    checks::{self, CheckPlan, FoundCheck, WantedCheck, plan_checks},
    errors::PROVIDER,
    fence::Fence,
    records::{RecordSet, Routing},
};
use crate::providers::{Expected, OnProgress, ProviderError, Published, Receipt};
use regionmesh_protocol::plan::CommittedPlan;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

/// Attempts after concurrent writes.
const ATTEMPTS: u32 = 5;
/// Retries of an unanswered batch.
const REPEATS: u32 = 3;
/// Caller references tried for one health check: those of deleted checks can't be reused.
const REFERENCES: u32 = 8;

/// The outcome of a batch.
enum Written {
    /// It was written; the change's ID if the API returned it.
    Done(Option<String>),
    /// It was refused; whether the fence had changed, and the message.
    Lost { fence_changed: bool, why: String },
}

impl Route53 {
    pub(super) async fn write(
        &self,
        plan: &CommittedPlan,
        on_progress: OnProgress<'_>,
    ) -> Result<Published, ProviderError> {
        let mut new_checks = Vec::new();
        let mut last = String::new();
        let mut refused = 0;

        for attempt in 0..ATTEMPTS {
            on_progress("reading the zone");
            let records = self.api.records(&self.settings.zone).await?;
            let found = self
                .api
                .checks(|reference| checks::is_own(&self.settings, reference))
                .await?;
            let refuse = |refusal| Self::refuse(plan, &refusal);

            // A writer that is fenced or blocked must not create health checks.
            let before = plan_checks(&self.settings, &found);
            plan_zone(
                &self.settings,
                plan,
                &records,
                &before.decisive,
                String::new,
            )
            .map_err(refuse)?;

            let checks = self
                .create_checks(found, &mut new_checks, on_progress)
                .await?;
            let zone = plan_zone(&self.settings, plan, &records, &checks.decisive, nonce)
                .map_err(refuse)?;

            match self.write_batches(plan, &zone, on_progress).await? {
                Ok(changes) => {
                    return Ok(self.published(plan, &records, zone, &checks, new_checks, changes));
                }
                Err((fence_changed, why)) => {
                    tracing::warn!(
                        plan = %plan.stamp,
                        attempt,
                        fence_changed,
                        why,
                        "a change batch was refused; reading the zone again"
                    );
                    refused += u32::from(!fence_changed);
                    last = why;
                }
            }

            if refused > 1 {
                // Refused twice without a concurrent writer: not a race.
                let operation = "ChangeResourceRecordSets";
                let code = "InvalidChangeBatch".into();
                let message = last;

                return Err(ProviderError::Refused {
                    provider: PROVIDER,
                    operation,
                    code,
                    message,
                });
            }
        }

        Err(ProviderError::Raced {
            attempts: ATTEMPTS,
            last,
        })
    }

    /// Creates missing checks, children first, and adds missing tags.
    async fn create_checks(
        &self,
        mut found: Vec<FoundCheck>,
        made: &mut Vec<String>,
        on_progress: OnProgress<'_>,
    ) -> Result<CheckPlan, ProviderError> {
        loop {
            let plan = plan_checks(&self.settings, &found);
            for (id, tags) in &plan.tag {
                self.api.tag_check(id, tags).await?;
                if let Some(check) = found.iter_mut().find(|check| check.id == *id) {
                    check.tags.extend(tags.clone());
                }
            }

            let ready: Vec<_> = plan
                .create
                .iter()
                .filter(|check| check.is_ready())
                .collect();

            if ready.is_empty() {
                return Ok(plan);
            }

            for check in ready {
                on_progress(&format!("creating the health check of {}", check.title()));
                let mut new = self.make_check(check, &found).await?;
                self.api.tag_check(&new.id, &check.tags).await?;
                tracing::info!(check = new.id, of = check.title(), "created a health check");
                new.tags = check.tags.clone();

                // The check has the requested settings: a caller reference with other settings is
                // refused.
                new.config = Some(check.config.clone());
                made.push(check.title());
                found.push(new);
            }
        }
    }

    async fn make_check(
        &self,
        check: &WantedCheck,
        found: &[FoundCheck],
    ) -> Result<FoundCheck, ProviderError> {
        let mut reference = check.next_reference(found);
        for _ in 0..REFERENCES {
            if let Some(made) = self.api.create_check(check, &reference).await? {
                return Ok(made);
            }
            reference = check.reference_after(&reference);
        }

        Err(ProviderError::Refused {
            provider: PROVIDER,
            operation: "CreateHealthCheck",
            code: "HealthCheckAlreadyExists".into(),
            message: format!(
                "{REFERENCES} caller references for {} are used up; try again in a few days",
                check.title()
            ),
        })
    }

    /// Writes the batches in order. Returns the IDs of the changes, or why one was refused.
    async fn write_batches(
        &self,
        plan: &CommittedPlan,
        zone: &ZonePlan,
        on_progress: OnProgress<'_>,
    ) -> Result<Result<Vec<String>, (bool, String)>, ProviderError> {
        let mut before = zone.fence.clone();
        let mut changes = Vec::new();
        for (index, batch) in zone.batches.iter().enumerate() {
            on_progress(&format!(
                "writing batch {} of {}",
                index + 1,
                zone.batches.len()
            ));

            match self.write_batch(plan, batch, before.as_ref()).await? {
                Written::Done(change) => changes.extend(change),
                Written::Lost { fence_changed, why } => return Ok(Err((fence_changed, why))),
            }

            before = Some(batch.fence.clone());
        }

        Ok(Ok(changes))
    }

    async fn write_batch(
        &self,
        plan: &CommittedPlan,
        batch: &Batch,
        before: Option<&Fence>,
    ) -> Result<Written, ProviderError> {
        let comment = format!("regionmesh {}: {}", plan.stamp, plan.plan.reason);
        let mut repeats = 0;
        loop {
            let why = match self.api.change(&batch.changes, &comment).await {
                Ok(change) => return Ok(Written::Done(Some(change))),
                Err(ProviderError::Refused { code, message, .. })
                    if matches!(code.as_str(), "InvalidChangeBatch" | "NoSuchHealthCheck") =>
                {
                    // The fence may be ours, from an attempt without an answer.
                    let fence = self.read_fence().await?;
                    return Ok(if fence.as_ref() == Some(&batch.fence) {
                        Written::Done(None)
                    } else {
                        Written::Lost {
                            fence_changed: fence.as_ref() != before,
                            why: message,
                        }
                    });
                }
                Err(ProviderError::Unanswered { why, .. }) => why,
                Err(error) => return Err(error),
            };

            // It may have been applied, or not, or may still be. The fence shows which.
            let fence = self.read_fence().await?;
            if fence.as_ref() == Some(&batch.fence) {
                tracing::info!(plan = %plan.stamp, "an unanswered change batch was applied");
                return Ok(Written::Done(None));
            }

            if fence.as_ref() != before {
                return Ok(Written::Lost {
                    fence_changed: true,
                    why,
                });
            }

            repeats += 1;
            if repeats > REPEATS {
                let operation = "ChangeResourceRecordSets";
                return Err(ProviderError::Unanswered {
                    provider: PROVIDER,
                    operation,
                    why,
                });
            }

            // Retried unchanged: if the first one still arrives, only one of them finds its fence.
            tracing::info!(plan = %plan.stamp, repeats, "an unanswered change batch was not \
                applied; retrying");
        }
    }

    async fn read_fence(&self) -> Result<Option<Fence>, ProviderError> {
        let records = self.api.records(&self.settings.fence_name()).await?;
        read_fence(&self.settings, &records)
            .map_err(|error| ProviderError::Misconfigured(error.to_string()))
    }

    fn published(
        &self,
        plan: &CommittedPlan,
        before: &[RecordSet],
        zone: ZonePlan,
        checks: &CheckPlan,
        new_checks: Vec<String>,
        changes: Vec<String>,
    ) -> Published {
        let written = zone
            .batches
            .last()
            .map(|batch| &batch.fence)
            .or(zone.fence.as_ref());
        let fence = written.map(|fence| fence.record(&self.settings));

        // Planning succeeded just before, so it succeeds again.
        let sets =
            super::wanted::wanted(&self.settings, plan, &checks.decisive).unwrap_or_default();
        Published {
            provider: PROVIDER,
            zone: self.settings.zone.clone(),
            plan: plan.stamp.to_string(),
            is_drift: zone.is_drift,
            new_checks,
            batches: zone.batches.len(),
            made_ms: plan.plan.made_ms,
            receipt: Receipt {
                changes,
                expected: expected(&sets, before, fence),
                obsolete_checks: checks
                    .obsolete
                    .iter()
                    .map(|check| check.id.clone())
                    .collect(),
                mark: written.map(|fence| fence.nonce.clone()).unwrap_or_default(),
            },
            differences: zone.differences,
            notes: zone.notes,
        }
    }

    /// Waits until every change is on all name servers.
    pub(super) async fn wait_in_sync(
        &self,
        changes: &[String],
        begin: Instant,
    ) -> Result<(), ProviderError> {
        let timeout = self.api.timeout();
        for change in changes {
            while !self.api.is_in_sync(change).await? {
                if begin.elapsed() > timeout.in_sync {
                    let what = format!("change {change} is not on all of Route 53's name servers");
                    return Err(ProviderError::NotYetVisible {
                        what,
                        waited: begin.elapsed(),
                    });
                }

                tokio::time::sleep(timeout.poll).await;
            }
        }

        Ok(())
    }

    /// Deletes obsolete health checks, except those that a record set refers to; none if a later
    /// writer may need them.
    pub(super) async fn delete_obsolete(
        &self,
        published: &Published,
    ) -> Result<Vec<String>, ProviderError> {
        let Receipt {
            obsolete_checks,
            mark,
            ..
        } = &published.receipt;

        if obsolete_checks.is_empty() {
            return Ok(Vec::new());
        }

        let records = self.api.records(&self.settings.zone).await?;
        let fence = read_fence(&self.settings, &records).ok().flatten();
        if fence.is_none_or(|fence| fence.nonce != *mark) {
            return Ok(Vec::new());
        }

        let used: BTreeSet<_> = records
            .iter()
            .filter_map(|set| set.health_check.as_deref())
            .collect();
        let mut deleted = Vec::new();

        for id in obsolete_checks
            .iter()
            .filter(|id| !used.contains(id.as_str()))
        {
            self.api.delete_check(id).await?;
            tracing::info!(check = id, "deleted an obsolete health check");

            deleted.push(id.clone());
        }

        Ok(deleted)
    }
}

fn nonce() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// What the name servers should answer: for the service some value of its sets (foreign sets may
/// share its name), for each region exactly its own addresses, and the fence.
fn expected(wanted: &[RecordSet], before: &[RecordSet], fence: Option<RecordSet>) -> Vec<Expected> {
    let is_ours = |set: &&RecordSet| wanted.iter().any(|ours| ours.key() == set.key());
    let shares_name = |set: &&RecordSet| {
        wanted
            .iter()
            .any(|ours| ours.name == set.name && ours.routing.is_same_policy(&set.routing))
    };
    let others = before
        .iter()
        .filter(|set| !is_ours(set) && shares_name(set));
    let mut expected: BTreeMap<(String, String), Expected> = BTreeMap::new();

    for set in wanted.iter().chain(others).chain(fence.as_ref()) {
        let entry = expected
            .entry((set.name.clone(), set.record_type.clone()))
            .or_insert_with(|| Expected {
                name: set.name.clone(),
                record_type: set.record_type.clone(),
                values: Vec::new(),
                is_exact: set.routing == Routing::Simple,
            });

        entry.values.extend(set.values.iter().cloned());
    }

    expected.into_values().collect()
}
