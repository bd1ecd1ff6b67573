//! Logs and metrics of a failing store.

use super::*;
use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    PutMultipartOptions, PutOptions, PutPayload, PutResult,
};
use std::fmt;

/// A store that refuses every write while it is full, and answers no listing while it is silent.
#[derive(Debug)]
struct FailingStore {
    inner: Arc<dyn ObjectStore>,
    is_full: std::sync::atomic::AtomicBool,
    is_silent: std::sync::atomic::AtomicBool,
}

impl fmt::Display for FailingStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("failing")
    }
}

#[async_trait]
impl ObjectStore for FailingStore {
    async fn put_opts(
        &self,
        at: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        if self.is_full.load(Ordering::Relaxed) {
            let source = "no space left on device (os error 28)".into();
            return Err(object_store::Error::Generic {
                store: "failing",
                source,
            });
        }

        self.inner.put_opts(at, payload, options).await
    }
    async fn put_multipart_opts(
        &self,
        at: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, options).await
    }
    async fn get_opts(&self, at: &Path, options: GetOptions) -> object_store::Result<GetResult> {
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

fn witness(store: Arc<dyn ObjectStore>, metrics: &SlotMetrics) -> SlotStore {
    SlotStore::new(
        store,
        &Path::from("mesh"),
        "witness",
        Duration::from_millis(20),
        metrics.clone(),
    )
}

#[tokio::test]
async fn a_full_or_silent_store_is_logged_once_and_promises_nothing() {
    let failing = Arc::new(FailingStore {
        inner: memory(),
        is_full: false.into(),
        is_silent: false.into(),
    });
    let metrics = SlotMetrics::new(&Registry::new()).unwrap();
    let slots = witness(failing.clone(), &metrics);

    slots.apply(&accept(3, 1, "kept")).await.unwrap();
    let errors = |reason| metrics.errors.with_label_values(&["witness", reason]).get();

    failing.is_full.store(true, Ordering::Relaxed);
    for number in 4..7 {
        let error = slots
            .apply(&AcceptorRequest::Prepare(ballot(number)))
            .await
            .unwrap_err()
            .to_string();

        assert!(
            error.contains("witness store") && error.contains("no space left"),
            "{error}"
        );
    }

    assert_eq!(
        (
            errors("store"),
            slots.failure_log.0.lock().unwrap().unlogged
        ),
        (3, 2),
        "logged once, counted each time"
    );

    // Existing state can still be read.
    let AcceptorReply::State(state) = apply(&slots, &AcceptorRequest::Read).await.unwrap() else {
        panic!("no state")
    };
    assert_eq!(state.promised, Some(ballot(3)));
    assert!(
        slots.failure_log.0.lock().unwrap().failing_since.is_some(),
        "an answer to a read does not end it"
    );

    failing.is_full.store(false, Ordering::Relaxed);

    failing.is_silent.store(true, Ordering::Relaxed);
    let error = slots.apply(&AcceptorRequest::Read).await.unwrap_err();
    assert!(
        matches!(
            error,
            SlotError::TimedOut {
                acceptor: "witness",
                action: "list",
                ..
            }
        ),
        "{error}"
    );

    assert_eq!(errors("timeout"), 1);
    failing.is_silent.store(false, Ordering::Relaxed);

    let promised = apply(&slots, &AcceptorRequest::Prepare(ballot(9)))
        .await
        .unwrap();
    assert!(
        matches!(promised, AcceptorReply::Promised { .. }),
        "{promised:?}"
    );
}
