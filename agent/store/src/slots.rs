//! An acceptor's state in an object store: carries out the operations of
//! [`regionmesh_core::slots`], which describes the protocol, with timeouts, logs and metrics.

mod error;
mod failure_log;
mod judge;
mod metrics;
mod objects;
mod slot;

use error::SlotError;
use failure_log::FailureLog;
pub use judge::Judge;
pub use metrics::SlotMetrics;
use object_store::{ObjectStore, path::Path};
use objects::SlotObjects;
use regionmesh_core::slots::{Effect, Failure, Input, Notice, Proposal, SlotMachine};
use regionmesh_protocol::register::{
    acceptor::{AcceptorAnswer, AcceptorRequest},
    ballot::Bounds,
};
use slot::ObjectTag;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Mutex;

/// An acceptor over an object store: a region's, or the witness.
#[derive(Debug)]
pub struct SlotStore {
    objects: SlotObjects,
    metrics: SlotMetrics,
    bounds: parking_lot::Mutex<Bounds>,
    machine: Mutex<SlotMachine<ObjectTag, SlotError>>,
    failures: FailureLog,
    judge: Option<Arc<dyn Judge>>,
}

impl SlotStore {
    /// An acceptor with its slots at `<prefix>/register/acc/` in `store`. `acceptor` is `region` or
    /// `witness`, for errors and metrics; `timeout` applies to each operation of the store.
    pub fn new(
        store: Arc<dyn ObjectStore>,
        prefix: &Path,
        acceptor: &'static str,
        timeout: Duration,
        metrics: SlotMetrics,
    ) -> Self {
        // Starts at 0, so that alerts see the first increase.
        for reason in ["store", "timeout", "corrupt"] {
            let _ = metrics.errors.with_label_values(&[acceptor, reason]);
        }

        Self {
            objects: SlotObjects {
                store,
                folder: prefix.clone().join("register").join("acc"),
                acceptor,
                timeout,
            },
            metrics,
            bounds: Default::default(),
            machine: Mutex::new(SlotMachine::new(rand::random())),
            failures: FailureLog::default(),
            judge: None,
        }
    }

    /// Has plans judged before they are accepted. The witness has no agent that could.
    pub fn with_judge(self, judge: Arc<dyn Judge>) -> Self {
        let judge = Some(judge);
        Self { judge, ..self }
    }

    /// Sets the bounds of what this acceptor accepts, which depend on the other acceptors.
    pub fn set_bounds(&self, bounds: Bounds) {
        *self.bounds.lock() = bounds;
    }

    fn acceptor(&self) -> &'static str {
        self.objects.acceptor
    }

    /// Answers `request`; the answer is durable, and not signed yet. Requests of this process run
    /// one after another.
    pub async fn apply(&self, request: &AcceptorRequest) -> Result<AcceptorAnswer, SlotError> {
        let mut machine = self.machine.lock().await;
        let start = Instant::now();
        let answer = self.try_apply(&mut machine, request).await;
        let duration = start.elapsed();

        self.metrics
            .duration
            .with_label_values(&[self.acceptor()])
            .observe(duration.as_secs_f64());

        if let Err(error) = &answer {
            self.metrics
                .errors
                .with_label_values(&[self.acceptor(), error.reason()])
                .inc();
        }

        self.failures
            .record(self.acceptor(), answer.as_ref().err(), duration);
        answer
    }

    async fn try_apply(
        &self,
        machine: &mut SlotMachine<ObjectTag, SlotError>,
        request: &AcceptorRequest,
    ) -> Result<AcceptorAnswer, SlotError> {
        let acceptor = self.acceptor();
        let mut input = Input::Request(Box::new(request.clone()));
        let mut effects = Vec::new();

        loop {
            machine.handle(
                input,
                &self.bounds.lock(),
                Instant::now(),
                &mut rand::rng(),
                &mut effects,
            );

            let mut next = None;
            let mut proposal = None;
            for effect in effects.drain(..) {
                match effect {
                    Effect::Run(operation) => next = Some(operation),
                    Effect::Judge(asked) => proposal = Some(asked),
                    Effect::Delete(old) => self.objects.delete(&old),
                    Effect::Notice(notice) => self.report(&notice),
                    Effect::Answer(Ok(answer)) => return Ok(*answer),
                    Effect::Answer(Err(Failure::Store(error))) => return Err(error),
                    Effect::Answer(Err(Failure::Contended)) => {
                        return Err(SlotError::Contended { acceptor });
                    }
                }
            }

            input = match (next, proposal) {
                (Some(operation), _) => self.objects.run(operation).await,
                (None, Some(proposal)) => self.judge(*proposal).await,
                (None, None) => return Err(SlotError::Contended { acceptor }),
            };
        }
    }

    async fn judge(&self, proposal: Proposal) -> Input<ObjectTag, SlotError> {
        let Some(judge) = &self.judge else {
            return Input::Judged(Ok(()));
        };
        match judge.judge(proposal).await {
            Ok(judged) => Input::Judged(judged),
            Err(why) => Input::Failed(SlotError::Unjudged { why }),
        }
    }

    /// Logs and counts what happened.
    fn report(&self, notice: &Notice) {
        let acceptor = self.acceptor();
        match notice {
            Notice::Taken => self.count_retry("taken"),
            Notice::Outdated => self.count_retry("outdated"),
            Notice::Unknown => self.count_retry("unknown"),
            Notice::ReadBack => {}
            Notice::Written => self.metrics.writes.with_label_values(&[acceptor]).inc(),
            Notice::Beginning(incarnation) => tracing::info!(
                acceptor,
                %incarnation,
                "an acceptor starts without state"
            ),
            Notice::Lost { newest, seen } => tracing::error!(
                acceptor,
                folder = %self.objects.folder,
                newest,
                seen,
                "slots of the register were deleted: this acceptor lost its state and has no vote \
                    until the leader lets it join again; exempt `register/` from the bucket's \
                    lifecycle rules"
            ),
            Notice::Begun { is_first } => {
                let reason = if *is_first { "first" } else { "lost" };
                self.metrics
                    .begun
                    .with_label_values(&[acceptor, reason])
                    .inc();
            }
        }
    }

    fn count_retry(&self, reason: &'static str) {
        self.metrics
            .retries
            .with_label_values(&[self.acceptor(), reason])
            .inc();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
