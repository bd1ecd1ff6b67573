//! An object store whose every operation is observed, and whose errors are for people.

use super::health::{Operation, StoreHealth};
use async_trait::async_trait;
use bytes::Bytes;
use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use object_store::{
    CopyOptions, Error as ObjectError, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, path::Path,
};
use regionmesh_protocol::store_health::Access;
use std::{fmt, ops::Range, sync::Arc};

/// The store.
#[derive(Debug, Clone)]
pub(super) struct WatchedStore {
    inner: Arc<dyn ObjectStore>,
    health: StoreHealth,
    /// Whether writes wait until the store was found fit.
    is_guarded: bool,
}

impl WatchedStore {
    /// Observes `inner`; writes are refused while `health` names an obstacle.
    pub(super) fn new(inner: Arc<dyn ObjectStore>, health: StoreHealth) -> Self {
        Self { inner, health, is_guarded: true }
    }

    /// The same store without the guard, for finding out whether it is fit.
    pub(super) fn unguarded(&self) -> Self {
        Self { is_guarded: false, ..self.clone() }
    }

    fn may_write(&self) -> Result<()> {
        match self.health.obstacle().filter(|_| self.is_guarded) {
            Some(fault) => Err(fault.into_error()),
            None => Ok(()),
        }
    }
}

impl fmt::Display for WatchedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.health.place())
    }
}

/// A stream whose answers are observed, one by one.
fn observed<T: Send + 'static>(
    operation: Operation,
    inner: BoxStream<'static, Result<T>>,
) -> BoxStream<'static, Result<T>> {
    stream::unfold((inner, operation.idle()), |(mut inner, mut operation)| async move {
        operation.goes_on();
        match inner.next().await {
            Some(Ok(item)) => {
                operation.succeeded();
                Some((Ok(item), (inner, operation)))
            }
            Some(Err(error)) => Some((Err(operation.failed(error)), (inner, operation))),
            None => {
                operation.succeeded();
                None
            }
        }
    })
    .boxed()
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for WatchedStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.may_write()?;
        let put = self.inner.put_opts(location, payload, options);
        self.health.observe(Access::Write, Some(location), put).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.may_write()?;
        let begin = self.inner.put_multipart_opts(location, options);
        self.health.observe(Access::Write, Some(location), begin).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let get = self.inner.get_opts(location, options);
        let mut result = self.health.observe(Access::Read, Some(location), get).await?;
        result.payload = match result.payload {
            GetResultPayload::Stream(bytes) => {
                GetResultPayload::Stream(observed(self.health.begin(Access::Read, Some(location)), bytes))
            }
            file => file,
        };
        Ok(result)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let get = self.inner.get_ranges(location, ranges);
        self.health.observe(Access::Read, Some(location), get).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        if let Err(error) = self.may_write() {
            return stream::once(async move { Err::<Path, ObjectError>(error) }).boxed();
        }
        observed(self.health.begin(Access::Write, None), self.inner.delete_stream(locations))
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        observed(self.health.begin(Access::Read, prefix), self.inner.list(prefix))
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        observed(self.health.begin(Access::Read, prefix), self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.health.observe(Access::Read, prefix, self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.may_write()?;
        self.health.observe(Access::Write, Some(to), self.inner.copy_opts(from, to, options)).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.may_write()?;
        self.health.observe(Access::Write, Some(to), self.inner.rename_opts(from, to, options)).await
    }
}
