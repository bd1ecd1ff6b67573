//! A writer that dies during a commit, after any number of operations of the store.

use super::*;
use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult,
};
use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

/// Carries out this many operations, and then answers no more.
#[derive(Debug)]
struct Dying {
    inner: Arc<dyn ObjectStore>,
    left: AtomicU64,
}

impl Dying {
    async fn live(&self) {
        let take = |left: u64| left.checked_sub(1);
        let took = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        if took.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl fmt::Display for Dying {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("dying")
    }
}

#[async_trait]
impl ObjectStore for Dying {
    async fn put_opts(
        &self,
        at: &ObjectPath,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        self.live().await;
        self.inner.put_opts(at, payload, options).await
    }
    async fn put_multipart_opts(
        &self,
        at: &ObjectPath,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.live().await;
        self.inner.put_multipart_opts(at, options).await
    }
    async fn get_opts(
        &self,
        at: &ObjectPath,
        options: GetOptions,
    ) -> object_store::Result<GetResult> {
        self.live().await;
        self.inner.get_opts(at, options).await
    }
    fn delete_stream(
        &self,
        paths: BoxStream<'static, object_store::Result<ObjectPath>>,
    ) -> BoxStream<'static, object_store::Result<ObjectPath>> {
        self.inner.delete_stream(paths)
    }
    fn list(
        &self,
        prefix: Option<&ObjectPath>,
    ) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.inner.list(prefix)
    }
    async fn list_with_delimiter(
        &self,
        prefix: Option<&ObjectPath>,
    ) -> object_store::Result<ListResult> {
        self.live().await;
        self.inner.list_with_delimiter(prefix).await
    }
    async fn copy_opts(
        &self,
        from: &ObjectPath,
        to: &ObjectPath,
        options: CopyOptions,
    ) -> object_store::Result<()> {
        self.live().await;
        self.inner.copy_opts(from, to, options).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_dies_at_any_operation_leaves_all_of_a_version_or_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let files: Files = &[("a", b"one"), ("b", b"two"), ("c/d", b"three")];
    let manifest = manifest("m@1", 1, files);

    for operations in 0.. {
        let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let dying = Arc::new(Dying {
            inner: inner.clone(),
            left: operations.into(),
        });
        let writer = ModelStore::new(OpenStore::of(dying));
        let writing = commit(&writer, folder.path(), &manifest, files);
        let is_done = tokio::time::timeout(Duration::from_secs(1), writing)
            .await
            .is_ok_and(|committed| committed.is_ok());

        let reader = ModelStore::new(OpenStore::of(inner));
        let visible = reader.catalogue().await.unwrap().versions;
        for version in &visible {
            reader
                .verify(&version.model, &version.version)
                .await
                .unwrap_or_else(|error| panic!("after {operations} operations: {error}"));
        }

        if is_done {
            assert_eq!(visible.len(), 1);
            assert!(operations > 5, "only {operations} operations");
            break;
        }
    }
}
