//! An object store that observes every operation and returns readable errors.

use crate::{fault::Cause, health::StoreHealth};
use async_trait::async_trait;
use bytes::Bytes;
use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use object_store::{
    CopyOptions, Error as ObjectError, GetOptions, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, RenameOptions, Result, path::Path,
};
use regionmesh_core::health::store::Access;
use std::{fmt, ops::Range, sync::Arc, time::Duration};

#[derive(Debug, Clone)]
pub(crate) struct WatchedStore {
    inner: Arc<dyn ObjectStore>,
    health: StoreHealth,
    /// Whether writes are refused until the store was found fit.
    is_guarded: bool,
    /// How long a call, or the next item of a stream, may take; none if the client has its own
    /// timeouts.
    timeout: Option<Duration>,
}

impl WatchedStore {
    /// Observes `inner` and ends calls that take longer than `timeout`; writes are refused while
    /// `health` names an obstacle.
    pub(crate) fn new(
        inner: Arc<dyn ObjectStore>,
        health: StoreHealth,
        timeout: Option<Duration>,
    ) -> Self {
        Self {
            inner,
            health,
            is_guarded: true,
            timeout,
        }
    }

    /// The same store without the guard, for the conditional-write check.
    pub(crate) fn unguarded(&self) -> Self {
        Self {
            is_guarded: false,
            ..self.clone()
        }
    }

    fn may_write(&self) -> Result<()> {
        let obstacle = self.health.obstacle().filter(|_| self.is_guarded);
        match self.health.hanging_write().or(obstacle) {
            Some(fault) => Err(fault.into_error()),
            None => Ok(()),
        }
    }

    async fn observe<T>(
        &self,
        access: Access,
        path: Option<&Path>,
        call: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        self.health
            .observe(access, path, in_time(self.timeout, &self.health, call))
            .await
    }

    /// A stream whose items are observed one by one.
    fn observe_stream<T: Send + 'static>(
        &self,
        access: Access,
        path: Option<&Path>,
        inner: BoxStream<'static, Result<T>>,
    ) -> BoxStream<'static, Result<T>> {
        let health = self.health.clone();
        let timeout = self.timeout;
        let operation = health.begin(access, path).idle();

        stream::unfold(
            (inner, operation, health),
            move |(mut inner, mut operation, health)| async move {
                operation.await_next();
                let next =
                    in_time(timeout, &health, async { inner.next().await.transpose() }).await;
                match next {
                    Ok(Some(item)) => {
                        operation.succeeded();
                        Some((Ok(item), (inner, operation, health)))
                    }
                    Ok(None) => {
                        operation.succeeded();
                        None
                    }
                    Err(error) => Some((Err(operation.failed(error)), (inner, operation, health))),
                }
            },
        )
        .boxed()
    }
}

impl fmt::Display for WatchedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.health.place())
    }
}

/// Ends a call without an answer within `timeout`.
async fn in_time<T>(
    timeout: Option<Duration>,
    health: &StoreHealth,
    call: impl Future<Output = Result<T>>,
) -> Result<T> {
    let Some(timeout) = timeout else {
        return call.await;
    };
    match tokio::time::timeout(timeout, call).await {
        Ok(answer) => answer,
        Err(_) => Err(health
            .fault(Cause::Silent(timeout.as_millis() as u64))
            .into_error()),
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for WatchedStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.may_write()?;
        let put = self.inner.put_opts(location, payload, options);
        self.observe(Access::Write, Some(location), put).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.may_write()?;
        let begin = self.inner.put_multipart_opts(location, options);
        self.observe(Access::Write, Some(location), begin).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let get = self.inner.get_opts(location, options);
        let mut result = self.observe(Access::Read, Some(location), get).await?;
        result.payload = match result.payload {
            GetResultPayload::Stream(bytes) => {
                GetResultPayload::Stream(self.observe_stream(Access::Read, Some(location), bytes))
            }
            file => file,
        };

        Ok(result)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let get = self.inner.get_ranges(location, ranges);
        self.observe(Access::Read, Some(location), get).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        if let Err(error) = self.may_write() {
            return stream::once(async move { Err::<Path, ObjectError>(error) }).boxed();
        }
        self.observe_stream(Access::Write, None, self.inner.delete_stream(locations))
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.observe_stream(Access::Read, prefix, self.inner.list(prefix))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.observe_stream(
            Access::Read,
            prefix,
            self.inner.list_with_offset(prefix, offset),
        )
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.observe(Access::Read, prefix, self.inner.list_with_delimiter(prefix))
            .await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.may_write()?;
        self.observe(
            Access::Write,
            Some(to),
            self.inner.copy_opts(from, to, options),
        )
        .await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.may_write()?;
        self.observe(
            Access::Write,
            Some(to),
            self.inner.rename_opts(from, to, options),
        )
        .await
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use object_store::{ObjectStoreExt, memory::InMemory};
    use std::future::pending;

    #[tokio::test(start_paused = true)]
    async fn a_call_without_an_answer_times_out_with_a_readable_error() {
        let health = StoreHealth::new("folder /models");
        let store = WatchedStore::new(
            Arc::new(InMemory::new()),
            health.clone(),
            Some(Duration::from_secs(5)),
        );
        let silent = store
            .observe(Access::Write, None, pending::<Result<()>>())
            .await
            .unwrap_err();

        assert_eq!(
            crate::fault::words(&silent),
            "folder /models did not answer within 5.0 s"
        );

        let mut listing =
            store.observe_stream(Access::Read, None, stream::pending::<Result<()>>().boxed());
        assert!(listing.next().await.unwrap().is_err());
        assert_eq!(
            (
                health.failures(Access::Write),
                health.failures(Access::Read)
            ),
            (1, 1)
        );
    }

    #[tokio::test]
    async fn while_a_write_hangs_other_writes_are_refused_and_reads_are_not() {
        let health = StoreHealth::new("folder /models");
        let store = WatchedStore::new(Arc::new(InMemory::new()), health.clone(), None);
        let path = Path::from("f");

        store.put(&path, "x".into()).await.unwrap();
        health.writes_hang("probe", Duration::from_secs(3));

        let refused = store.put(&path, "y".into()).await.unwrap_err();
        assert!(
            refused.to_string().contains("did not answer within 3.0 s"),
            "{refused}"
        );

        assert_eq!(
            &store.get(&path).await.unwrap().bytes().await.unwrap()[..],
            b"x"
        );

        health.writes_end();
        store.put(&path, "y".into()).await.unwrap();
    }
}
