//! Moving a finished file from the local disk into the store.

use crate::{
    OpenStore,
    fault::model_error,
    multipart::{self, PART, read_part},
};
use object_store::{MultipartUpload, ObjectStoreExt, path::Path as ObjectPath};
use regionmesh_core::health::store::Access;
use regionmesh_runtime::models::ModelError;
use std::{collections::BTreeSet, fs::File, io, path::Path, time::Duration};
use tokio_util::sync::CancellationToken;

/// How often a removed folder is created again.
const FOLDER_TRIES: u32 = 16;

/// How often work on a file system is checked for an outage.
const OUTAGE_CHECK_INTERVAL: Duration = Duration::from_secs(1);

impl OpenStore {
    /// Runs `work` on a local store's file system, which has no timeouts and may take long for a
    /// large file, until the store is known to be unavailable. The thread continues until the file
    /// system answers.
    pub(crate) async fn unless_unavailable<T>(
        &self,
        work: impl Future<Output = Result<T, ModelError>>,
    ) -> Result<T, ModelError> {
        tokio::select! {
            biased;
            done = work => done,
            error = self.outage() => Err(error),
        }
    }

    /// Completes once a local store is known to be unavailable; never for a remote one, whose
    /// client has timeouts.
    pub(crate) async fn outage(&self) -> ModelError {
        if self.root.is_none() {
            return std::future::pending().await;
        }

        loop {
            tokio::time::sleep(OUTAGE_CHECK_INTERVAL).await;
            if let Some(outage) = self.health.outage() {
                return ModelError::Unavailable(outage.why);
            }
        }
    }
}

/// Puts the file `staged` into the store at `path`. On a local store it is moved if possible, not
/// copied.
pub(crate) async fn place(
    store: &OpenStore,
    staged: &Path,
    path: &ObjectPath,
) -> Result<(), ModelError> {
    if let Some(root) = &store.root {
        let target = path
            .parts()
            .fold(root.clone(), |target, part| target.join(part.as_ref()));
        let source = staged.to_owned();
        let is_given_up = CancellationToken::new();
        let _given_up = is_given_up.clone().drop_guard();
        let moving = async {
            let moved =
                tokio::task::spawn_blocking(move || move_in(&source, &target, &is_given_up)).await;
            Ok::<_, ModelError>(moved.unwrap_or_else(|error| Err(io::Error::other(error))))
        };
        let moved = store.unless_unavailable(moving).await?;
        let is_elsewhere = moved
            .as_ref()
            .is_err_and(|error| error.kind() == io::ErrorKind::CrossesDevices);

        if !is_elsewhere {
            store.health.observe_file(Access::Write, "models", &moved);
            return moved.map_err(|error| ModelError::io("move", staged, error));
        }
    }

    store.unless_unavailable(upload(store, staged, path)).await
}

/// Moves a file, unless the caller has given up during the long first step.
fn move_in(source: &Path, target: &Path, is_given_up: &CancellationToken) -> io::Result<()> {
    File::open(source)?.sync_all()?;
    // A hard link, so that a writer that loses its claim between two files still has its own; then
    // a rename, so that the same file of another writer is never absent.
    let second = source.with_extension("placing");
    match std::fs::remove_file(&second) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }

    std::fs::hard_link(source, &second)?;
    if is_given_up.is_cancelled() {
        // The name may belong to another writer by now.
        let _ = std::fs::remove_file(&second);
        return Err(io::ErrorKind::TimedOut.into());
    }

    rename_into_folder(&second, target)?;
    // Renaming a file to its own hard link leaves both names.
    let _ = std::fs::remove_file(&second);
    Ok(())
}

/// Renames a file into a folder that may not exist yet, and that another writer of this version may
/// remove while it is empty. A writer that removes it has given up, so that a few attempts are
/// enough.
fn rename_into_folder(file: &Path, target: &Path) -> io::Result<()> {
    let mut tries = FOLDER_TRIES;
    loop {
        std::fs::create_dir_all(target.parent().unwrap_or(target))?;
        tries -= 1;
        match std::fs::rename(file, target) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && tries > 0 && file.exists() => {
            }
            renamed => return renamed,
        }
    }
}

/// Makes moved files survive a power failure: once per folder, not per file.
pub(crate) async fn sync_folders(
    store: &OpenStore,
    targets: impl Iterator<Item = ObjectPath>,
) -> Result<(), ModelError> {
    let Some(root) = store.root.clone() else {
        return Ok(());
    };
    let mut folders = BTreeSet::from([root.clone()]);

    for target in targets {
        let mut folder = root.clone();
        let parts: Vec<_> = target.parts().collect();
        for part in parts.iter().take(parts.len().saturating_sub(1)) {
            folder = folder.join(part.as_ref());
            folders.insert(folder.clone());
        }
    }

    let syncing = async {
        tokio::task::spawn_blocking(move || {
            folders
                .iter()
                .try_for_each(|folder| File::open(folder)?.sync_all())
        })
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
        .map_err(|error| ModelError::io("sync", &root, error))
    };

    store.unless_unavailable(syncing).await
}

/// A small file in one request, a larger one in parts.
async fn upload(store: &OpenStore, staged: &Path, path: &ObjectPath) -> Result<(), ModelError> {
    let reading = |error| ModelError::io("read", staged, error);
    let writing = |error| model_error("write", path, &error);
    let mut file = tokio::fs::File::open(staged).await.map_err(reading)?;
    let size = file.metadata().await.map_err(reading)?.len();

    if size <= PART as u64 {
        let content = read_part(&mut file, staged).await?;
        return store
            .objects
            .put(path, content.freeze().into())
            .await
            .map(drop)
            .map_err(writing);
    }

    if let Some(parts) = &store.multipart {
        return multipart::upload(store, parts, &mut file, staged, path).await;
    }

    let mut upload = store.objects.put_multipart(path).await.map_err(writing)?;
    let sent = async {
        loop {
            let block = read_part(&mut file, staged).await?;
            if block.is_empty() {
                break upload.complete().await.map(drop).map_err(writing);
            }
            upload
                .put_part(block.freeze().into())
                .await
                .map_err(writing)?;
        }
    };

    let outcome = sent.await;
    if outcome.is_err() {
        let _ = upload.abort().await;
    }

    outcome
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_file_whose_writer_gave_up_is_not_moved_into_place() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("staged");
        let target = folder.path().join("store/f");

        std::fs::write(&source, b"one").unwrap();
        let is_given_up = CancellationToken::new();
        is_given_up.cancel();
        assert_eq!(
            move_in(&source, &target, &is_given_up).unwrap_err().kind(),
            io::ErrorKind::TimedOut
        );

        assert!(source.exists() && !target.exists() && !source.with_extension("placing").exists());
        move_in(&source, &target, &CancellationToken::new()).unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"one");
    }
}
