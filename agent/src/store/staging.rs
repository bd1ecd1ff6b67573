//! Moving a finished file from the local disk into the store.

use super::{OpenStore, models::ModelError};
use bytes::BytesMut;
use object_store::{ObjectStoreExt, WriteMultipart, path::Path as ObjectPath};
use std::{collections::BTreeSet, path::Path};
use tokio::io::AsyncReadExt;

/// Part size of an upload, bytes: 10,000 parts, the smallest limit among the clouds, then carry 160 GB.
const PART: usize = 16 << 20;
/// Parts in flight at once.
const PARTS_AT_ONCE: usize = 4;

/// Puts the file `staged` into the store at `path`. On a local store it is moved, not copied, where it can be.
pub async fn place(store: &OpenStore, staged: &Path, path: &ObjectPath) -> Result<(), ModelError> {
    if let Some(root) = &store.root {
        let target = path.parts().fold(root.clone(), |target, part| target.join(part.as_ref()));
        let source = staged.to_owned();
        let moved = tokio::task::spawn_blocking(move || move_in(&source, &target)).await;
        match moved {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::CrossesDevices => {}
            Ok(Err(error)) => return Err(ModelError::io("move", staged, error)),
            Err(error) => return Err(ModelError::io("move", staged, std::io::Error::other(error))),
        }
    }
    upload(store, staged, path).await
}

fn move_in(source: &Path, target: &Path) -> std::io::Result<()> {
    let folder = target.parent().unwrap_or(target);
    std::fs::create_dir_all(folder)?;
    std::fs::File::open(source)?.sync_all()?;
    // By a second name, so that a holder that loses its claim between two files still has its own; and by a rename, so that
    // a file that another writer of the same content put there is never absent.
    let second = source.with_extension("placing");
    match std::fs::remove_file(&second) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::fs::hard_link(source, &second)?;
    std::fs::rename(&second, target)?;
    // Renaming a file to another name of itself leaves both.
    let _ = std::fs::remove_file(&second);
    Ok(())
}

/// Makes sure that files put in place are found after a loss of power: once per folder, not per file.
pub async fn sync_folders(store: &OpenStore, targets: impl Iterator<Item = ObjectPath>) -> Result<(), ModelError> {
    let Some(root) = store.root.clone() else { return Ok(()) };
    let mut folders = BTreeSet::from([root.clone()]);
    for target in targets {
        let mut folder = root.clone();
        let parts: Vec<_> = target.parts().collect();
        for part in parts.iter().take(parts.len().saturating_sub(1)) {
            folder = folder.join(part.as_ref());
            folders.insert(folder.clone());
        }
    }
    let synced = tokio::task::spawn_blocking(move || {
        folders.iter().try_for_each(|folder| std::fs::File::open(folder)?.sync_all())
    });
    synced
        .await
        .unwrap_or_else(|error| Err(std::io::Error::other(error)))
        .map_err(|error| ModelError::io("sync", &root, error))
}

async fn upload(store: &OpenStore, staged: &Path, path: &ObjectPath) -> Result<(), ModelError> {
    let mut file = tokio::fs::File::open(staged).await.map_err(|error| ModelError::io("read", staged, error))?;
    let multipart = store.objects.put_multipart(path).await.map_err(|error| ModelError::store("write", path, error))?;
    let mut upload = WriteMultipart::new_with_chunk_size(multipart, PART);
    loop {
        let mut block = BytesMut::with_capacity(PART);
        let read = file.read_buf(&mut block).await.map_err(|error| ModelError::io("read", staged, error))?;
        if read == 0 {
            break;
        }
        upload.wait_for_capacity(PARTS_AT_ONCE).await.map_err(|error| ModelError::store("write", path, error))?;
        upload.put(block.freeze());
    }
    upload.finish().await.map(drop).map_err(|error| ModelError::store("write", path, error))
}
