//! Where the server gets models from.

use async_trait::async_trait;
use bytes::Bytes;
use regionmesh_protocol::{
    clock::HybridTime,
    identity::RegionName,
    models::{
        catalogue::Catalogue,
        digest::Digest,
        manifest::{ModelName, VersionName, VersionSummary},
    },
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Reads the files of versions. Errors are sentences for an operator; the caller tries again.
#[async_trait]
pub trait ModelSource: Send + Sync {
    /// The files of a version: path below the version's folder, size in bytes.
    async fn files(
        &self,
        model: &ModelName,
        version: &VersionName,
    ) -> Result<Vec<(String, u64)>, String>;

    /// The content of one of those files.
    async fn read(
        &self,
        model: &ModelName,
        version: &VersionName,
        path: &str,
    ) -> Result<Bytes, String>;
}

/// Lists the models for a server without a replicator.
#[async_trait]
pub trait CatalogueSource: Send + Sync {
    /// Versions, aliases and deletions as they are now.
    async fn catalogue(&self) -> Result<Catalogue, String>;
}

/// Reads the catalogue every `interval` and publishes changes, until `stop`. After a failed read
/// the last catalogue stays.
pub async fn poll_catalogue(
    source: Arc<dyn CatalogueSource>,
    announce: watch::Sender<Arc<Catalogue>>,
    interval: Duration,
    stop: CancellationToken,
) {
    let mut is_first = true;
    let mut is_failing = false;
    loop {
        match source.catalogue().await {
            Ok(catalogue) => {
                if is_failing {
                    tracing::info!("the catalogue can be read again");
                }
                is_failing = false;
                if is_first || **announce.borrow() != catalogue {
                    announce.send_replace(Arc::new(catalogue));
                }
                is_first = false;
            }
            Err(error) => {
                if !is_failing {
                    tracing::warn!(%error, "cannot read the catalogue; serving what is loaded and \
                        trying again");
                }
                is_failing = true;
            }
        }

        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(interval) => {}
        }
    }
}

/// A plain directory in Triton's layout: `<root>/<model>/<version>/model.onnx`. Without aliases;
/// names that begin with `.` or that the mesh doesn't allow are skipped.
#[derive(Debug)]
pub struct Directory {
    root: PathBuf,
    region: RegionName,
}

impl Directory {
    /// A directory; `region` is the origin of every version.
    pub fn new(root: impl Into<PathBuf>, region: RegionName) -> Self {
        Self {
            root: root.into(),
            region,
        }
    }

    fn list(root: &Path, region: &RegionName) -> Result<Catalogue, String> {
        let mut catalogue = Catalogue::default();
        for (model, folder) in subfolders::<ModelName>(root)? {
            for (version, folder) in subfolders::<VersionName>(&folder)? {
                let files = files_below(&folder)?;
                // Without a manifest, sizes and modification times show that a version was
                // replaced.
                let mut content = blake3::Hasher::new();

                for (path, metadata) in &files {
                    let modified = metadata
                        .modified()
                        .ok()
                        .and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
                    content.update(format!("{path:?} {} {modified:?};", metadata.len()).as_bytes());
                }

                if !files.is_empty() {
                    catalogue.versions.push(VersionSummary {
                        model: model.clone(),
                        version,
                        content: Digest(*content.finalize().as_bytes()),
                        size: files.iter().map(|(_, metadata)| metadata.len()).sum(),
                        published: HybridTime::default(),
                        origin: region.clone(),
                    });
                }
            }
        }

        catalogue.versions.sort();
        Ok(catalogue)
    }

    fn folder(&self, model: &ModelName, version: &VersionName) -> PathBuf {
        // Both names are checked when parsed: neither can leave the root.
        self.root.join(model.as_str()).join(version.as_str())
    }
}

fn entries(folder: &Path) -> Result<Vec<std::fs::DirEntry>, String> {
    let fail = |error: std::io::Error| format!("cannot list {}: {error}", folder.display());
    std::fs::read_dir(folder)
        .map_err(fail)?
        .collect::<Result<_, _>>()
        .map_err(fail)
}

fn subfolders<N: std::str::FromStr>(folder: &Path) -> Result<Vec<(N, PathBuf)>, String> {
    let folders = entries(folder)?
        .into_iter()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir());

    Ok(folders
        .filter_map(|path| Some((path.file_name()?.to_str()?.parse().ok()?, path.clone())))
        .collect())
}

/// Regular files directly in the folder, sorted: ONNX models keep external data in files next to
/// them.
fn files_below(folder: &Path) -> Result<Vec<(String, std::fs::Metadata)>, String> {
    let mut files = Vec::new();
    for entry in entries(folder)? {
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let metadata = std::fs::metadata(entry.path())
            .map_err(|error| format!("{}: {error}", entry.path().display()))?;

        if metadata.is_file() && !name.starts_with('.') {
            files.push((name, metadata));
        }
    }

    files.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(files)
}

async fn blocking<T: Send + 'static>(
    task: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(task)
        .await
        .map_err(|error| error.to_string())?
}

#[async_trait]
impl ModelSource for Directory {
    async fn files(
        &self,
        model: &ModelName,
        version: &VersionName,
    ) -> Result<Vec<(String, u64)>, String> {
        let folder = self.folder(model, version);
        let files = blocking(move || files_below(&folder)).await?;
        Ok(files
            .into_iter()
            .map(|(path, metadata)| (path, metadata.len()))
            .collect())
    }

    async fn read(
        &self,
        model: &ModelName,
        version: &VersionName,
        path: &str,
    ) -> Result<Bytes, String> {
        if path.contains(['/', '\\']) || path == ".." {
            return Err(format!("{path:?} is not a file of {model}@{version}"));
        }

        let path = self.folder(model, version).join(path);
        tokio::fs::read(&path)
            .await
            .map(Bytes::from)
            .map_err(|error| format!("cannot read {}: {error}", path.display()))
    }
}

#[async_trait]
impl CatalogueSource for Directory {
    async fn catalogue(&self) -> Result<Catalogue, String> {
        let root = self.root.clone();
        let region = self.region.clone();
        blocking(move || Self::list(&root, &region)).await
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_directory_lists_models_and_detects_replaced_files() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str, content: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        };

        put("a/1/model.onnx", "one");
        put("a/empty/.hidden", "");
        put(".git/1/model.onnx", "not a model");
        put("a/config.pbtxt", "a file next to the versions");

        let directory = Directory::new(root.path(), "here".parse().unwrap());
        let before = directory.catalogue().await.unwrap();
        assert_eq!(before.versions.len(), 1);

        let model = &before.versions[0].model;
        let version = &before.versions[0].version;
        assert_eq!(
            directory.files(model, version).await.unwrap(),
            [("model.onnx".to_owned(), 3)]
        );

        assert_eq!(
            directory.read(model, version, "model.onnx").await.unwrap(),
            "one"
        );

        assert!(
            directory
                .read(model, version, "../../config.pbtxt")
                .await
                .is_err()
        );

        put("a/1/model.onnx", "other");
        assert_ne!(directory.catalogue().await.unwrap(), before);
    }
}
