//! Versions that are not a model's default, loaded on request and kept while they are in use.

use crate::loading::{LoadError, Loaded, Loading};
use parking_lot::Mutex;
use regionmesh_protocol::{
    models::{
        digest::Digest,
        manifest::{ModelName, VersionName},
    },
    status::servability,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::OnceCell;

/// A failed load that may succeed later is not retried sooner than this, regardless of requests.
const RETRY_AFTER: Duration = Duration::from_secs(10);

type Outcome = Result<Arc<Loaded>, (LoadError, Instant)>;

/// One version; requests that arrive while it loads wait on the cell.
#[derive(Debug, Clone)]
struct Slot {
    model: ModelName,
    version: VersionName,
    content: Digest,
    cell: Arc<OnceCell<Outcome>>,
}

/// The least recently used version is last.
pub(crate) struct Extras {
    slots: Mutex<Vec<Slot>>,
    limit: usize,
    loading: Arc<Loading>,
}

impl Extras {
    /// At most `limit` versions.
    pub(crate) fn new(limit: usize, loading: Arc<Loading>) -> Arc<Self> {
        Arc::new(Self {
            slots: Mutex::new(Vec::new()),
            limit,
            loading,
        })
    }

    /// The version, loaded now if necessary.
    pub(crate) async fn get(
        self: &Arc<Self>,
        model: &ModelName,
        version: &VersionName,
        content: Digest,
    ) -> Result<Arc<Loaded>, LoadError> {
        let cell = self.cell(model, version, content);
        // In its own task: the load must outlive the request that started it.
        let extras = self.clone();
        let cell_of_task = cell.clone();
        let model = model.clone();
        let version = version.clone();
        let task = tokio::spawn(async move {
            let load = || async {
                let result = extras
                    .loading
                    .load(&model, &version, content, None, || extras.drop_oldest())
                    .await;
                result.map_err(|error| (error, Instant::now()))
            };

            cell_of_task.get_or_init(load).await.clone()
        });

        let outcome = match cell.get() {
            Some(outcome) => outcome.clone(),
            None => task
                .await
                .map_err(|error| LoadError::Unreadable(error.to_string()))?,
        };

        outcome.map_err(|(error, _)| error)
    }

    /// The version's cell, moved to the front. The last one is dropped if there are too many.
    fn cell(
        &self,
        model: &ModelName,
        version: &VersionName,
        content: Digest,
    ) -> Arc<OnceCell<Outcome>> {
        let key = (model.clone(), version.clone(), content);
        // The loader retries it.
        let is_bad = matches!(
            self.loading.outcomes().of(&key),
            Some(servability::Outcome::Unservable { .. })
        );
        let may_pass = |error: &LoadError| error.is_transient() || !is_bad;
        let is_stale = |slot: &Slot| {
            slot.content != content
                || matches!(
                    slot.cell.get(),
                    Some(Err((error, at))) if may_pass(error) && at.elapsed() >= RETRY_AFTER
                )
        };
        let mut slots = self.slots.lock();
        let known = slots
            .iter()
            .position(|slot| slot.model == *model && slot.version == *version);

        let slot = match known.map(|index| slots.remove(index)) {
            Some(slot) if !is_stale(&slot) => slot,
            _ => Slot {
                model: model.clone(),
                version: version.clone(),
                content,
                cell: Arc::default(),
            },
        };

        let cell = slot.cell.clone();
        slots.insert(0, slot);
        slots.truncate(self.limit.max(1));
        cell
    }

    /// Drops the least recently used version that is loaded; `false` if there is none.
    pub(crate) fn drop_oldest(&self) -> bool {
        let mut slots = self.slots.lock();
        let oldest = slots
            .iter()
            .rposition(|slot| matches!(slot.cell.get(), Some(Ok(_))));
        oldest.map(|index| slots.remove(index)).is_some()
    }

    /// Takes a version out, if it is loaded here: it becomes a default.
    pub(crate) fn take(
        &self,
        model: &ModelName,
        version: &VersionName,
        content: Digest,
    ) -> Option<Arc<Loaded>> {
        let mut slots = self.slots.lock();
        let index = slots.iter().position(|slot| {
            slot.model == *model && slot.version == *version && slot.content == content
        })?;
        let loaded = slots[index].cell.get()?.as_ref().ok()?.clone();

        slots.remove(index);
        Some(loaded)
    }

    /// Adds a version that was a default until now: clients may request it by number, and an
    /// operator may roll back to it.
    pub(crate) fn put(&self, loaded: Arc<Loaded>) {
        if self.limit == 0 {
            return;
        }

        let model = loaded.model.clone();
        let version = loaded.version.clone();
        let content = loaded.content;
        let mut slots = self.slots.lock();

        slots.retain(|slot| slot.model != model || slot.version != version);
        slots.insert(
            0,
            Slot {
                model,
                version,
                content,
                cell: Arc::new(OnceCell::new_with(Some(Ok(loaded)))),
            },
        );

        slots.truncate(self.limit);
    }

    /// Whether explicit versions are served at all.
    pub(crate) fn is_enabled(&self) -> bool {
        self.limit > 0
    }

    /// Drops versions that are not held any more.
    pub(crate) fn retain(&self, is_held: impl Fn(&ModelName, &VersionName, Digest) -> bool) {
        self.slots
            .lock()
            .retain(|slot| is_held(&slot.model, &slot.version, slot.content));
    }
}
