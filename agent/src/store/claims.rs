//! Who may change the files of a version now.
//!
//! A claim is a numbered object, `claims/<model>/<version>/<generation>`, put only if absent, that names the content being
//! stored. The highest generation holds. Writers of the same content join each other, since their files are the same;
//! others wait. A claim is renewed while its holder works; one that was not renewed for [`STALE`] is its crashed holder's
//! and is taken over by the next generation. So wherever files lie without a manifest, a claim tells that they are a
//! leftover of ours, and what somebody else put into the bucket is left alone.
//!
//! Weak where an agent's clock and the store's differ by minutes: a living claim then looks stale. Its holder notices before
//! it commits, and gives up.

use super::models::{ModelError, ModelStore, object};
use futures::TryStreamExt;
use object_store::{Error as ObjectError, ObjectMeta, ObjectStoreExt, PutMode, path::Path as ObjectPath};
use regionmesh_protocol::manifest::{ModelName, VersionName};
use std::{
    pin::pin,
    time::{Duration, Instant},
};

/// A claim not renewed for this long is its crashed holder's: ten times [`RENEW`].
const STALE: Duration = Duration::from_secs(600);
/// How often a holder renews its claim.
const RENEW: Duration = Duration::from_secs(60);
/// How long to wait for another writer: enough for a small version to be placed.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often to look whether the other writer is done.
const LOOK: Duration = Duration::from_millis(250);

/// A claim that we hold.
#[derive(Debug)]
pub(super) struct Claim {
    model: ModelName,
    version: VersionName,
    folder: ObjectPath,
    path: ObjectPath,
    token: String,
    renewed: Instant,
    /// Whether somebody claimed the version before us and did not finish.
    pub(super) is_inherited: bool,
}

impl ModelStore {
    /// Claims a version for writing `token`'s content; `over` is a further content whose claims are no hindrance.
    pub(super) async fn claim(
        &self,
        model: &ModelName,
        version: &VersionName,
        token: &str,
        over: Option<&str>,
    ) -> Result<Claim, ModelError> {
        let folder = object(&["claims", model.as_str(), version.as_str()]);
        let begin = Instant::now();
        loop {
            let standing = self.list(&folder).await?;
            let highest =
                standing.iter().filter_map(|meta| Some((generation(&meta.location)?, meta))).max_by_key(|g| g.0);
            if let Some((_, highest)) = highest {
                let theirs = self.token(&highest.location).await?;
                let is_friendly = theirs.as_deref().is_none_or(|theirs| theirs == token || Some(theirs) == over);
                if !is_friendly && !standing.iter().all(is_stale) {
                    if begin.elapsed() > PATIENCE {
                        return Err(ModelError::Claimed { model: model.clone(), version: version.clone() });
                    }
                    tokio::time::sleep(LOOK).await;
                    continue;
                }
                if !is_friendly {
                    tracing::warn!(%model, %version, "taking over the claim of a writer that never finished");
                }
            }
            let path = object(&[
                "claims",
                model.as_str(),
                version.as_str(),
                &format!("{:010}", highest.map_or(0, |(generation, _)| generation) + 1),
            ]);
            match self.store.objects.put_opts(&path, token.to_owned().into(), PutMode::Create.into()).await {
                Ok(_) => {
                    // The stale ones are ours to remove; those of friends are theirs.
                    for old in standing.iter().filter(|meta| is_stale(meta)) {
                        self.delete_object(&old.location).await?;
                    }
                    return Ok(Claim {
                        model: model.clone(),
                        version: version.clone(),
                        folder,
                        path,
                        token: token.into(),
                        renewed: Instant::now(),
                        is_inherited: !standing.is_empty(),
                    });
                }
                Err(ObjectError::AlreadyExists { .. }) => {}
                Err(error) => return Err(ModelError::store("write", &path, error)),
            }
        }
    }

    /// Does `work` and renews the claim meanwhile.
    pub(super) async fn holding<T>(
        &self,
        claim: &mut Claim,
        work: impl Future<Output = Result<T, ModelError>>,
    ) -> Result<T, ModelError> {
        let mut work = pin!(work);
        loop {
            match tokio::time::timeout(RENEW, &mut work).await {
                Ok(done) => return done,
                Err(_) => self.renew(claim).await?,
            }
        }
    }

    /// Makes sure that the claim is still ours for minutes to come.
    pub(super) async fn renew(&self, claim: &mut Claim) -> Result<(), ModelError> {
        let standing = self.list(&claim.folder).await?;
        let highest = standing.iter().max_by_key(|meta| generation(&meta.location)).map(|meta| &meta.location);
        let theirs = match highest {
            Some(highest) => self.token(highest).await?,
            None => None,
        };
        if theirs.as_deref() != Some(&claim.token) {
            return Err(ModelError::Claimed { model: claim.model.clone(), version: claim.version.clone() });
        }
        let put = self.store.objects.put(&claim.path, claim.token.clone().into()).await;
        put.map_err(|error| ModelError::store("write", &claim.path, error))?;
        claim.renewed = Instant::now();
        Ok(())
    }

    /// [`ModelStore::renew`], unless that was so recently that nobody can have taken it over.
    pub(super) async fn renew_if_due(&self, claim: &mut Claim) -> Result<(), ModelError> {
        if claim.renewed.elapsed() < STALE / 2 { Ok(()) } else { self.renew(claim).await }
    }

    /// Gives the claim back.
    pub(super) async fn release(&self, claim: Claim) {
        // A failure costs no more than a wait: it goes stale by itself.
        if let Err(error) = self.delete_object(&claim.path).await {
            tracing::warn!(path = %claim.path, %error, "cannot remove a claim");
        }
    }

    /// Versions with claims of which none was renewed lately.
    pub(super) async fn stale_claims(&self) -> Result<Vec<(ModelName, VersionName)>, ModelError> {
        let mut versions: Vec<(ModelName, VersionName, bool)> = Vec::new();
        for meta in self.list(&object(&["claims"])).await? {
            let parts: Vec<_> = meta.location.parts().collect();
            let [_, model, version, ..] = &parts[..] else { continue };
            let (Ok(model), Ok(version)) = (ModelName::new(model.as_ref()), VersionName::new(version.as_ref())) else {
                continue;
            };
            match versions.iter_mut().find(|(m, v, _)| *m == model && *v == version) {
                Some((_, _, all_stale)) => *all_stale &= is_stale(&meta),
                None => versions.push((model, version, is_stale(&meta))),
            }
        }
        Ok(versions.into_iter().filter(|(_, _, stale)| *stale).map(|(model, version, _)| (model, version)).collect())
    }

    async fn token(&self, path: &ObjectPath) -> Result<Option<String>, ModelError> {
        match self.store.objects.get(path).await {
            Ok(claim) => {
                let bytes = claim.bytes().await.map_err(|error| ModelError::store("read", path, error))?;
                Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
            }
            Err(ObjectError::NotFound { .. }) => Ok(None),
            Err(error) => Err(ModelError::store("read", path, error)),
        }
    }

    pub(super) async fn list(&self, folder: &ObjectPath) -> Result<Vec<ObjectMeta>, ModelError> {
        let listed = self.store.objects.list(Some(folder)).try_collect().await;
        listed.map_err(|error| ModelError::store("list", folder, error))
    }

    pub(super) async fn delete_object(&self, path: &ObjectPath) -> Result<(), ModelError> {
        match self.store.objects.delete(path).await {
            Ok(()) | Err(ObjectError::NotFound { .. }) => Ok(()),
            Err(error) => Err(ModelError::store("delete", path, error)),
        }
    }
}

fn generation(path: &ObjectPath) -> Option<u64> {
    path.filename()?.parse().ok()
}

fn is_stale(meta: &ObjectMeta) -> bool {
    let modified_ms = u64::try_from(meta.last_modified.timestamp_millis()).unwrap_or(0);
    u128::from(crate::time::unix_ms().saturating_sub(modified_ms)) >= STALE.as_millis()
}
