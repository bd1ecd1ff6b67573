//! Failures while a version is published, and that none of its files become visible.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use async_trait::async_trait;
use futures::stream;
use regionmesh_protocol::models::{
    catalogue::Tombstone,
    digest::Digest,
    manifest::{Manifest, VersionSummary},
};
use std::{ops::Range, path::Path, process::Command};
use tempfile::TempDir;

/// A store in memory that records committed manifests.
#[derive(Default)]
struct MemoryStore(Mutex<Vec<Manifest>>);

#[async_trait]
impl Store for MemoryStore {
    async fn check_available(&self) -> Result<(), ModelError> {
        Ok(())
    }

    async fn outage(&self) -> ModelError {
        std::future::pending().await
    }

    async fn versions(&self) -> Result<Vec<VersionSummary>, ModelError> {
        let held = self.0.lock();
        Ok(held.iter().map(Manifest::summary).collect())
    }

    async fn manifest(
        &self,
        model: &ModelName,
        version: &VersionName,
    ) -> Result<Manifest, ModelError> {
        let held = self.0.lock();
        let found = held
            .iter()
            .find(|held| held.model == *model && held.version == *version);

        found.cloned().ok_or_else(|| ModelError::NotFound {
            model: model.clone(),
            version: version.clone(),
        })
    }

    async fn manifest_bytes(&self, _: &ModelName, _: &VersionName) -> Result<Bytes, ModelError> {
        panic!("a publisher reads no encoded manifest")
    }

    async fn deletion_of(
        &self,
        _: &ModelName,
        _: &VersionName,
    ) -> Result<Option<Tombstone>, ModelError> {
        Ok(None)
    }

    async fn read_range(
        &self,
        _: &ModelName,
        _: &VersionName,
        _: &str,
        _: Range<u64>,
    ) -> Result<Bytes, ModelError> {
        panic!("a publisher reads no files")
    }

    async fn commit(
        &self,
        manifest: &Manifest,
        staged: &[PathBuf],
    ) -> Result<VersionSummary, ModelError> {
        for (file, path) in manifest.files.iter().zip(staged) {
            assert_eq!(Digest::of(&std::fs::read(path).unwrap()), file.digest);
        }

        self.0.lock().push(manifest.clone());
        Ok(manifest.summary())
    }
}

fn publisher(data_dir: &Path) -> Publisher {
    Publisher::new(PublisherSetup {
        store: Arc::new(MemoryStore::default()),
        transport: None,
        region: "us-west-2".parse().unwrap(),
        clock: HybridClock::default(),
        board: watch::channel(Arc::default()).1,
        staging: data_dir.join("uploads"),
        upload_idle_max: Duration::from_secs(900),
    })
    .unwrap()
}

async fn begin(publisher: &Publisher) -> String {
    publisher
        .begin(
            "resnet".parse().unwrap(),
            "1".parse().unwrap(),
            "me".into(),
            vec![],
        )
        .await
        .unwrap()
}

fn body(
    pieces: Vec<io::Result<&'static [u8]>>,
) -> impl Stream<Item = io::Result<Bytes>> + Unpin + Send {
    stream::iter(
        pieces
            .into_iter()
            .map(|piece| piece.map(Bytes::from_static))
            .collect::<Vec<_>>(),
    )
}

/// Files staged by a publisher's open uploads.
fn staged(publisher: &Publisher) -> usize {
    let uploads = std::fs::read_dir(&publisher.staging).unwrap();
    uploads
        .map(|upload| std::fs::read_dir(upload.unwrap().path()).unwrap().count())
        .sum()
}

fn assert_truncated(error: &PublishError, as_found: u64, as_declared: u64) {
    let PublishError::Truncated {
        found, declared, ..
    } = error
    else {
        panic!("{error}")
    };
    assert_eq!((*found, *declared), (as_found, as_declared));
}

async fn assert_nothing_visible(publisher: &Publisher) {
    assert_eq!(publisher.store.versions().await.unwrap(), []);
}

#[tokio::test]
async fn a_file_of_wrong_length_leaves_nothing_and_can_be_resent() {
    let dir = TempDir::new().unwrap();
    let publisher = publisher(dir.path());
    let id = begin(&publisher).await;
    let short = publisher
        .add_file(&id, "a", 8, body(vec![Ok(b"weights")]))
        .await
        .unwrap_err();

    assert_truncated(&short, 7, 8);

    let long = publisher
        .add_file(&id, "a", 6, body(vec![Ok(b"weights")]))
        .await
        .unwrap_err();

    assert_truncated(&long, 7, 6);

    let broken = io::Error::from(io::ErrorKind::ConnectionReset);
    let broken = publisher
        .add_file(&id, "a", 7, body(vec![Ok(b"wei"), Err(broken)]))
        .await
        .unwrap_err();

    assert!(matches!(broken, PublishError::Sender { .. }), "{broken}");
    assert_eq!(staged(&publisher), 0);
    assert_nothing_visible(&publisher).await;
    publisher
        .add_file(&id, "a", 7, body(vec![Ok(b"weights")]))
        .await
        .unwrap();

    assert_eq!(publisher.commit(&id).await.unwrap().size, 7);
}

#[tokio::test]
async fn a_commit_before_a_file_is_complete_is_refused_and_leaves_nothing_visible() {
    let dir = TempDir::new().unwrap();
    let publisher = publisher(dir.path());
    let id = begin(&publisher).await;

    publisher
        .add_file(&id, "a", 7, body(vec![Ok(b"weights")]))
        .await
        .unwrap();

    let (sender, body) = futures::channel::mpsc::unbounded::<io::Result<Bytes>>();
    let mut adding = Box::pin(publisher.add_file(&id, "b", 7, body));
    assert!(futures::poll!(adding.as_mut()).is_pending());

    let refused = publisher.commit(&id).await.unwrap_err();
    assert!(
        matches!(&refused, PublishError::Unfinished(path) if path == "b"),
        "{refused}"
    );

    assert_nothing_visible(&publisher).await;
    drop(sender);
    adding.await.unwrap_err();
}

#[tokio::test]
async fn an_upload_without_files_is_refused() {
    let dir = TempDir::new().unwrap();
    let publisher = publisher(dir.path());
    let id = begin(&publisher).await;

    assert!(matches!(
        publisher.commit(&id).await,
        Err(PublishError::Manifest(_))
    ));

    assert_nothing_visible(&publisher).await;
}

/// A file system of one mebibyte; unmounted at the end.
struct Tiny(TempDir);

impl Tiny {
    fn mount() -> Option<Self> {
        let dir = TempDir::new().unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
            .arg(dir.path())
            .output();

        mount
            .is_ok_and(|output| output.status.success())
            .then(|| Self(dir))
    }
}

impl Drop for Tiny {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_is_reported_and_its_space_is_freed() {
    let Some(tiny) = Tiny::mount() else {
        eprintln!(
            "SKIPPED: a tmpfs can't be mounted here (needs root), a full disk was NOT tested"
        );
        return;
    };
    let publisher = publisher(tiny.0.path());
    let id = begin(&publisher).await;
    let large = stream::iter((0..64).map(|_| Ok(Bytes::from(vec![7; 64 << 10]))));

    let full = publisher
        .add_file(&id, "a", 4 << 20, large)
        .await
        .unwrap_err();

    assert!(
        matches!(full, PublishError::Model(ModelError::Full { .. })),
        "{full}"
    );

    assert_eq!(staged(&publisher), 0);
    assert_nothing_visible(&publisher).await;
    publisher
        .add_file(&id, "a", 7, body(vec![Ok(b"weights")]))
        .await
        .unwrap();

    publisher.commit(&id).await.unwrap();
}
