//! A store that loses requests and replies, is full, or is silent.

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, path::Path,
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

const LOST: &str = "the reply was lost";

/// Loses puts and replies to puts, one in `odds` each, and yields between operations. Refuses every
/// write while it is full, and answers no listing while it is silent.
#[derive(Debug)]
pub(super) struct Faulty {
    inner: Arc<dyn ObjectStore>,
    random: parking_lot::Mutex<StdRng>,
    odds: u32,
    pub(super) is_full: AtomicBool,
    pub(super) is_silent: AtomicBool,
}

impl Faulty {
    async fn roll(&self) -> u32 {
        let (roll, pause) = {
            let mut random = self.random.lock();
            (
                random.random_range(0..self.odds.max(2)),
                random.random_range(0..4),
            )
        };

        for _ in 0..pause {
            tokio::task::yield_now().await;
        }
        if self.odds == 0 { u32::MAX } else { roll }
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faulty")
    }
}

fn failure(what: &str) -> object_store::Error {
    object_store::Error::Generic {
        store: "faulty",
        source: what.into(),
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(
        &self,
        at: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        if self.is_full.load(Ordering::Relaxed) {
            return Err(failure("no space left on device (os error 28)"));
        }

        match self.roll().await {
            0 => Err(failure(LOST)),
            1 => {
                self.inner.put_opts(at, payload, options).await?;
                self.roll().await;
                Err(failure(LOST))
            }
            _ => self.inner.put_opts(at, payload, options).await,
        }
    }
    async fn put_multipart_opts(
        &self,
        at: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, options).await
    }
    async fn get_opts(&self, at: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        self.roll().await;
        self.inner.get_opts(at, options).await
    }
    fn delete_stream(
        &self,
        paths: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.inner.delete_stream(paths)
    }
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        if self.is_silent.load(Ordering::Relaxed) {
            Box::pin(futures::stream::pending())
        } else {
            self.inner.list(prefix)
        }
    }
    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }
    async fn copy_opts(
        &self,
        from: &Path,
        to: &Path,
        options: CopyOptions,
    ) -> object_store::Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

pub(super) fn faulty(inner: &Arc<dyn ObjectStore>, seed: u64, odds: u32) -> Arc<Faulty> {
    Arc::new(Faulty {
        inner: inner.clone(),
        random: StdRng::seed_from_u64(seed).into(),
        odds,
        is_full: false.into(),
        is_silent: false.into(),
    })
}
