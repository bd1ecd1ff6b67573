//! Reading billing exports from buckets, at the leader.

use super::arguments::CostArguments;
use crate::{
    actors::messages::CostMessage,
    config::{Config, ExportConfig},
    cost::import::{self, BillFile, ImportError, LISTED_MAX, MANIFEST_MAX},
};
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, path::Path as ObjectPath};
use parking_lot::Mutex;
use ractor::ActorRef;
use regionmesh_core::gossip::BoardView;
use regionmesh_cost::{
    ExportSet, Import, ImportOptions, ImportReport, Period, StoredFile, export_manifests,
    export_notice, find_exports, is_of_export,
};
use regionmesh_protocol::{identity::AgentId, status::money::Notices};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use time::Date;
use tokio::{io::AsyncWriteExt, task::JoinSet};

/// Pause before an export that can't be read is tried again.
const RETRY: Duration = Duration::from_secs(60);

/// The fingerprint of each imported set, by folder and month.
type Done = BTreeMap<(String, Option<Period>), String>;

#[derive(Default)]
struct Export {
    is_running: bool,
    due: Option<Instant>,
    done: Arc<Mutex<Done>>,
    /// Since when it can't be read, and why.
    failing: Option<(u64, String)>,
}

/// The exports of the configuration.
#[derive(Default)]
pub(super) struct Exports(BTreeMap<String, Export>);

impl Exports {
    /// Reads the exports that are due, of those that this agent is responsible for.
    pub(super) fn poll(
        &mut self,
        me: &ActorRef<CostMessage>,
        tasks: &mut JoinSet<()>,
        arguments: &CostArguments,
        config: &Arc<Config>,
        is_leader: bool,
    ) {
        let board = arguments.snapshots.board.borrow().clone();
        let reads = |export: &&ExportConfig| reads(export, &arguments.id, &board, is_leader);
        self.0.retain(|url, _| {
            config
                .cost
                .exports
                .iter()
                .filter(reads)
                .any(|export| export.url == *url)
        });

        for export in config.cost.exports.iter().filter(reads) {
            let state = self.0.entry(export.url.clone()).or_default();
            if state.is_running || state.due.is_some_and(|due| Instant::now() < due) {
                continue;
            }
            state.is_running = true;
            state.due = Some(Instant::now() + Duration::from_secs(export.poll_s));

            let me = me.clone();
            let arguments = arguments.clone();
            let config = config.clone();
            let export = export.clone();
            let done = state.done.clone();

            tasks.spawn(async move {
                let outcome = read(&export, &done, &arguments, &config).await;
                let _ = me.cast(CostMessage::ExportRead(export.url, outcome));
            });
        }
    }

    /// An export was read, or not.
    pub(super) fn ended(
        &mut self,
        url: &str,
        outcome: Result<(), String>,
        arguments: &CostArguments,
    ) {
        arguments.metrics.polled(outcome.is_ok());

        let Some(state) = self.0.get_mut(url) else {
            return;
        };
        state.is_running = false;

        match outcome {
            Ok(()) => state.failing = None,
            Err(why) => {
                tracing::error!(url, why, "a billing export can't be read; retrying");

                let retry = Instant::now() + RETRY;
                state.due = Some(state.due.map_or(retry, |due| due.min(retry)));

                let since_ms = state
                    .failing
                    .as_ref()
                    .map_or_else(regionmesh_runtime::time::unix_ms, |(since_ms, _)| *since_ms);

                state.failing = Some((since_ms, why));
            }
        }
    }

    /// Opens notices about exports that can't be read, and ends those of exports that can.
    pub(super) fn update_notices(&self, notices: &mut Notices, now_ms: u64) {
        for (url, state) in &self.0 {
            match &state.failing {
                Some((since_ms, why)) => {
                    notices.take(&export_notice(url, why, *since_ms), now_ms);
                }
                None => {
                    let open = notices
                        .iter()
                        .filter(|notice| is_of_export(notice) && notice.subject == *url);
                    let ids: Vec<String> = open.map(|notice| notice.id.clone()).collect();

                    for id in ids {
                        notices.end(&id, now_ms);
                    }
                }
            }
        }
    }
}

/// Whether an agent reads an export: the leader, or the first live agent of the export's region.
fn reads(export: &ExportConfig, own: &AgentId, board: &BoardView, is_leader: bool) -> bool {
    let Some(region) = &export.region else {
        return is_leader;
    };
    let first = board
        .agents
        .iter()
        .find(|(agent, view)| agent.region == *region && view.is_alive);

    first.is_some_and(|(agent, _)| agent == own)
}

/// Imports what is new in an export.
async fn read(
    export: &ExportConfig,
    done: &Mutex<Done>,
    arguments: &CostArguments,
    config: &Config,
) -> Result<(), String> {
    let opened = regionmesh_store::open(&export.store()).map_err(|error| error.to_string())?;
    let objects = opened.unguarded;
    let files = list(&*objects).await?;
    let contents = manifests(&*objects, &files).await?;

    let found = find_exports(&files, &contents);
    for problem in &found.problems {
        tracing::warn!(url = export.url, %problem, "a delivery of a billing export is skipped");
    }

    let today = crate::cost::day::date(regionmesh_runtime::time::unix_ms());
    let roots: BTreeSet<&String> = found.sets.iter().map(|set| &set.root).collect();
    for root in roots {
        // Months past their retention are no fault of the export.
        let is_retained = |set: &&ExportSet| {
            set.period
                .is_none_or(|period| config.cost.retains(period, today))
        };
        let all: Vec<&ExportSet> = found
            .sets
            .iter()
            .filter(|set| set.root == *root)
            .filter(is_retained)
            .collect();

        read_root(&*objects, &all, done, export, arguments, config, today).await?;
    }

    if found.sets.is_empty() {
        return Err(found.problems.first().map_or_else(
            || {
                "there is no billing file below it; check the prefix, and that the export has run"
                    .into()
            },
            ToString::to_string,
        ));
    }

    Ok(())
}

/// Reads the manifests among `files`, by path.
async fn manifests(
    objects: &dyn ObjectStore,
    files: &[StoredFile],
) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let mut contents = BTreeMap::new();
    for path in export_manifests(files) {
        let size = files
            .iter()
            .find(|file| file.path == path)
            .map_or(0, |file| file.size);

        if size > MANIFEST_MAX {
            return Err(format!(
                "{path}: a manifest of {size} bytes; at most {MANIFEST_MAX} are read"
            ));
        }

        let found = objects
            .get(&ObjectPath::from(path.as_str()))
            .await
            .map_err(|error| error.to_string())?;
        let bytes = found.bytes().await.map_err(|error| error.to_string())?;

        contents.insert(path, bytes.to_vec());
    }

    Ok(contents)
}

/// Imports the sets below one root that changed since they were last read.
async fn read_root(
    objects: &dyn ObjectStore,
    all: &[&ExportSet],
    done: &Mutex<Done>,
    export: &ExportConfig,
    arguments: &CostArguments,
    config: &Config,
    today: Date,
) -> Result<(), String> {
    let known = done.lock().clone();
    let is_new =
        |set: &&&ExportSet| known.get(&(set.root.clone(), set.period)) != Some(&set.fingerprint);
    let new: Vec<&ExportSet> = all.iter().filter(is_new).copied().collect();

    if new.is_empty() {
        return Ok(());
    }

    let periods: BTreeSet<Option<Period>> = new.iter().map(|set| set.period).collect();
    let mut read = fetch(objects, &new, arguments, config).await?;

    // Rows may name other months than their folder; the other folders' rows of these months then
    // belong to the import as well.
    let is_whole = read
        .parts
        .iter()
        .all(|part| periods.contains(&Some(part.period)))
        || new.len() == all.len();

    if !is_whole {
        read = fetch(objects, all, arguments, config).await?;
    }

    let stored = store(read, arguments, config, &export.url, today).await;
    arguments.metrics.imported(stored.as_ref().ok());
    stored.map_err(|error| error.to_string())?;

    let mut done = done.lock();
    done.extend(
        new.iter()
            .map(|set| ((set.root.clone(), set.period), set.fingerprint.clone())),
    );

    Ok(())
}

async fn list(objects: &dyn ObjectStore) -> Result<Vec<StoredFile>, String> {
    let mut listing = objects.list(None);
    let mut files = Vec::new();
    while let Some(object) = listing
        .try_next()
        .await
        .map_err(|error| error.to_string())?
    {
        if files.len() >= LISTED_MAX {
            return Err(format!(
                "more than {LISTED_MAX} files lie below it; give the prefix of one export"
            ));
        }

        files.push(StoredFile {
            path: object.location.to_string(),
            size: object.size,
            modified_ms: object.last_modified.timestamp_millis(),
        });
    }

    Ok(files)
}

/// Reads the files of sets into one import. They are downloaded first: Parquet is not read
/// sequentially.
async fn fetch(
    objects: &dyn ObjectStore,
    sets: &[&ExportSet],
    arguments: &CostArguments,
    config: &Config,
) -> Result<Import, String> {
    let staging = arguments.archive.staging.clone();
    tokio::fs::create_dir_all(&staging)
        .await
        .map_err(|error| error.to_string())?;

    let folder = tempfile::TempDir::with_prefix_in("export-", &staging)
        .map_err(|error| error.to_string())?;
    let mut files = Vec::new();

    for name in sets.iter().flat_map(|set| &set.files) {
        let path = folder.path().join(files.len().to_string());
        download(objects, name, &path)
            .await
            .map_err(|error| format!("{name}: {error}"))?;
        files.push(BillFile {
            name: name.clone(),
            path,
        });
    }

    let options = ImportOptions {
        tag_keys: config.cost.tag_keys(),
        ..ImportOptions::default()
    };
    let read = tokio::task::spawn_blocking(move || {
        let _folder = folder;
        import::read(&files, options, |_| ())
    });

    read.await
        .map_err(|error| error.to_string())?
        .map_err(|error| error.to_string())
}

async fn download(objects: &dyn ObjectStore, name: &str, to: &Path) -> Result<(), String> {
    let found = objects
        .get(&ObjectPath::from(name))
        .await
        .map_err(|error| error.to_string())?;
    let mut stream = found.into_stream();
    let mut file = tokio::fs::File::create(to)
        .await
        .map_err(|error| error.to_string())?;

    while let Some(piece) = stream.try_next().await.map_err(|error| error.to_string())? {
        file.write_all(&piece)
            .await
            .map_err(|error| error.to_string())?;
    }

    file.flush().await.map_err(|error| error.to_string())
}

/// Stores the parts that changed: a new leader reads everything again. Returns the report of what
/// was read.
async fn store(
    mut read: Import,
    arguments: &CostArguments,
    config: &Config,
    url: &str,
    today: Date,
) -> Result<ImportReport, ImportError> {
    let books = arguments.books.borrow().clone();
    let report = import::summarise(&read, &books, false)?.report;
    for bad in &report.bad_rows {
        tracing::warn!(url, %bad, "a row of a billing export is left out");
    }
    read.parts.retain(|part| {
        let held = books
            .ledger
            .parts()
            .find(|held| held.source() == part.source && held.period() == part.period);
        config.cost.retains(part.period, today)
            && held.is_none_or(|held| *held.cells() != part.cells)
    });

    let count = read.parts.len();
    let by = format!("export {url}")
        .chars()
        .take(200)
        .collect::<String>();
    let parts = import::prepare(read.parts, &books, &by)?;

    import::store(parts, &arguments.archive, &by).await?;
    tracing::info!(
        url,
        rows = report.imported,
        changed = count,
        "a billing export was read"
    );

    Ok(report)
}
