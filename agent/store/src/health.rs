//! The health of a store: the outcome of every operation, and whether the store may be written to.

use crate::fault::{Cause, StoreFault, cause, is_answer};
use object_store::{Error as ObjectError, path::Path as ObjectPath};
use parking_lot::Mutex;
use regionmesh_core::health::store::{Access, Outage, StoreJudge};
use regionmesh_runtime::describe::io_words;
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// An operation cancelled after this long counts as unanswered. One cancelled sooner is not
/// counted.
const SILENT_AFTER: Duration = Duration::from_millis(2_500);

/// Whether a store can be used as a region's.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fitness {
    Unchecked,
    Fit,
    Unfit(String),
}

#[derive(Debug)]
struct Inner {
    place: String,
    begin: Instant,
    judge: Mutex<StoreJudge>,
    fitness: Mutex<Fitness>,
    /// A write that hangs.
    hanging_write: Mutex<Option<StoreFault>>,
    failures: [AtomicU64; 2],
}

/// The health of one store. Clones share it.
#[derive(Debug, Clone)]
pub struct StoreHealth(Arc<Inner>);

impl StoreHealth {
    /// Health of the store named `place` in errors. It counts as fit until
    /// [`StoreHealth::require_check`].
    pub(crate) fn new(place: impl Into<String>) -> Self {
        Self(Arc::new(Inner {
            place: place.into(),
            begin: Instant::now(),
            judge: Mutex::default(),
            fitness: Mutex::new(Fitness::Fit),
            hanging_write: Mutex::default(),
            failures: Default::default(),
        }))
    }

    /// The store's name in errors: `bucket "models"`.
    pub(crate) fn place(&self) -> &str {
        &self.0.place
    }

    /// Blocks all writes until [`StoreHealth::found_fit`].
    pub fn require_check(&self) {
        *self.0.fitness.lock() = Fitness::Unchecked;
    }

    /// Records that the store supports what a region's store needs.
    pub(crate) fn found_fit(&self) {
        *self.0.fitness.lock() = Fitness::Fit;
    }

    /// Records that the store lacks something that a region's store needs.
    pub(crate) fn found_unfit(&self, why: impl Into<String>) {
        *self.0.fitness.lock() = Fitness::Unfit(why.into());
    }

    /// Why writes are blocked; none if they are not.
    pub(crate) fn obstacle(&self) -> Option<StoreFault> {
        let cause = match &*self.0.fitness.lock() {
            Fitness::Fit => return None,
            Fitness::Unchecked => Cause::Unchecked,
            Fitness::Unfit(why) => Cause::Unfit(why.clone()),
        };

        Some(self.fault(cause))
    }

    /// A fault of this store.
    pub(crate) fn fault(&self, cause: Cause) -> StoreFault {
        StoreFault {
            place: self.0.place.clone(),
            cause,
        }
    }

    /// Whether the store is unavailable now.
    pub(crate) fn outage(&self) -> Option<Outage> {
        self.0.judge.lock().outage(self.now_ms())
    }

    /// How long ago an operation last succeeded, or since the start if none did.
    pub(crate) fn idle_for(&self) -> Duration {
        let last_ms = self.0.judge.lock().succeeded_ms().unwrap_or(0);
        Duration::from_millis(self.now_ms().saturating_sub(last_ms))
    }

    /// How long ago a write last succeeded, or since the start if none did.
    pub(crate) fn write_idle_for(&self) -> Duration {
        let last_ms = self
            .0
            .judge
            .lock()
            .succeeded_by_ms(Access::Write)
            .unwrap_or(0);
        Duration::from_millis(self.now_ms().saturating_sub(last_ms))
    }

    /// Records that a write in `area` did not end within `waited` and is still running. Until
    /// [`StoreHealth::writes_end`] further writes are refused: on a hanging file system each would
    /// block a thread.
    pub(crate) fn writes_hang(&self, area: &str, waited: Duration) {
        let fault = self.fault(Cause::Silent(waited.as_millis() as u64));
        self.record(Access::Write, area, Err(fault.to_string()));
        *self.0.hanging_write.lock() = Some(fault);
    }

    /// Records that no write hangs.
    pub(crate) fn writes_end(&self) {
        *self.0.hanging_write.lock() = None;
    }

    /// Why writes are refused while one of them hangs.
    pub(crate) fn hanging_write(&self) -> Option<StoreFault> {
        self.0.hanging_write.lock().clone()
    }

    /// Whether writes failed and none succeeded since.
    pub(crate) fn are_writes_in_doubt(&self) -> bool {
        self.0.judge.lock().is_in_doubt(Access::Write)
    }

    /// How many operations of this kind failed so far.
    pub(crate) fn failures(&self, access: Access) -> u64 {
        self.0.failures[access as usize].load(Ordering::Relaxed)
    }

    /// Starts observing an operation on `path`.
    pub(crate) fn begin(&self, access: Access, path: Option<&ObjectPath>) -> Operation {
        let area = path
            .and_then(|path| path.parts().next())
            .map(|part| part.as_ref().to_owned())
            .unwrap_or_default();

        Operation {
            health: self.clone(),
            access,
            area,
            begin: Instant::now(),
            has_outcome: false,
        }
    }

    /// Runs an operation and records its outcome. A failure comes back as a [`StoreFault`].
    pub(crate) async fn observe<T>(
        &self,
        access: Access,
        path: Option<&ObjectPath>,
        operation: impl Future<Output = Result<T, ObjectError>>,
    ) -> Result<T, ObjectError> {
        let mut observed = self.begin(access, path);
        match operation.await {
            Ok(value) => {
                observed.succeeded();
                Ok(value)
            }
            Err(error) => Err(observed.failed(error)),
        }
    }

    /// Records the outcome of a direct operation on the folder of a local store.
    pub(crate) fn observe_file<T>(&self, access: Access, area: &str, outcome: &io::Result<T>) {
        let why = outcome.as_ref().map(drop).map_err(|error| {
            let cause = match error.kind() {
                io::ErrorKind::StorageFull => Cause::Full,
                io::ErrorKind::PermissionDenied => Cause::Refused("permission denied".into()),
                _ => Cause::Failed(io_words(error)),
            };

            self.fault(cause).to_string()
        });

        self.record(access, area, why);
    }

    fn record(&self, access: Access, area: &str, outcome: Result<(), String>) {
        if outcome.is_err() {
            self.0.failures[access as usize].fetch_add(1, Ordering::Relaxed);
        }
        self.0
            .judge
            .lock()
            .observe(access, area, outcome, self.now_ms());
    }

    fn now_ms(&self) -> u64 {
        // Lasts for 500 million years.
        self.0.begin.elapsed().as_millis() as u64
    }
}

/// An operation in progress. Dropped without an outcome after [`SILENT_AFTER`], it counts as
/// unanswered.
#[derive(Debug)]
pub(crate) struct Operation {
    health: StoreHealth,
    access: Access,
    area: String,
    begin: Instant,
    has_outcome: bool,
}

impl Operation {
    /// It succeeded.
    pub(crate) fn succeeded(&mut self) {
        self.has_outcome = true;
        self.health.record(self.access, &self.area, Ok(()));
    }

    /// It failed, or the store answered that something is missing or exists already. Returns the
    /// error to pass on.
    pub(crate) fn failed(&mut self, error: ObjectError) -> ObjectError {
        if is_answer(&error) {
            self.succeeded();
            return error;
        }

        self.has_outcome = true;
        let fault = self.health.fault(cause(&error));
        self.health
            .record(self.access, &self.area, Err(fault.to_string()));
        fault.into_error()
    }

    /// The same operation, not started yet.
    #[must_use]
    pub(crate) fn idle(mut self) -> Self {
        self.has_outcome = true;
        self
    }

    /// The next answer of a streaming operation is awaited.
    pub(crate) fn await_next(&mut self) {
        self.begin = Instant::now();
        self.has_outcome = false;
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        let waited = self.begin.elapsed();
        if !self.has_outcome && waited >= SILENT_AFTER {
            let silent = self.health.fault(Cause::Silent(waited.as_millis() as u64));
            self.health
                .record(self.access, &self.area, Err(silent.to_string()));
        }
    }
}
