//! Claims: which writer may change the files of a version.
//!
//! A claim is a numbered object, `claims/<model>/<version>/<generation>`, created with
//! put-if-absent. It names the content being stored, the agent that stores it, and that agent's
//! boot. The highest generation is in force. Writers of the same content join each other, since
//! their files are the same; others wait. A holder renews its claim while it works.
//!
//! A claim is void, and may be taken over,
//! * for the agent that it names: once that agent has another boot, or no writer in its process
//!   holds the claim any more. An agent that restarts after a crash therefore frees its names
//!   immediately;
//! * for all others: once it was not renewed for [`STALE`].
//!
//! Files without a manifest are leftovers of an agent only if there is a claim for them. Files that
//! another program put into the bucket are left alone.
//!
//! The age of a claim is measured by the store's clock: the timestamp of a newly written object
//! minus the timestamp of the claim. Agents' clocks don't matter.

mod active;

use crate::{
    Owner,
    fault::model_error,
    models::{ModelStore, object},
};
use active::ActiveClaim;
pub(crate) use active::ActiveClaims;
use futures::TryStreamExt;
use object_store::{
    Error as ObjectError, ObjectMeta, ObjectStoreExt, PutMode, path::Path as ObjectPath,
};
use regionmesh_protocol::models::manifest::{ModelName, VersionName};
use regionmesh_runtime::models::ModelError;
use std::{
    pin::pin,
    time::{Duration, Instant},
};

/// A claim not renewed for this long belongs to a crashed writer: ten times [`RENEW`].
const STALE: Duration = Duration::from_secs(600);
/// How often a holder renews its claim.
const RENEW: Duration = Duration::from_secs(60);
/// How long to wait for another writer: enough to store a small version.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How often to check whether the other writer is done.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// How long one reading of the store's clock is extrapolated with our monotonic clock.
const CLOCK_GOOD_FOR: Duration = Duration::from_secs(600);

/// The content of a claim, one field per line.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Body {
    token: String,
    /// None in claims written by earlier versions.
    owner: Option<Owner>,
}

impl Body {
    fn write(&self) -> String {
        match &self.owner {
            Some(Owner { agent, boot }) => format!("{}\n{agent}\n{boot:016x}", self.token),
            None => self.token.clone(),
        }
    }

    fn read(text: &str) -> Self {
        let mut lines = text.lines();
        let token = lines.next().unwrap_or_default().to_owned();
        let owner = lines.next().zip(lines.next()).and_then(|(agent, boot)| {
            Some(Owner {
                agent: agent.to_owned(),
                boot: u64::from_str_radix(boot, 16).ok()?,
            })
        });

        Self { token, owner }
    }
}

/// A claim found in the store.
struct ListedClaim {
    meta: ObjectMeta,
    generation: u64,
    /// None if it was deleted after it was listed.
    body: Option<Body>,
}

/// A claim that we hold.
#[derive(Debug)]
pub(crate) struct Claim {
    model: ModelName,
    version: VersionName,
    folder: ObjectPath,
    path: ObjectPath,
    body: Body,
    renewed: Instant,
    _active: ActiveClaim,
    /// Whether an earlier writer's claim was taken over.
    pub(crate) is_inherited: bool,
}

impl ModelStore {
    /// Claims a version to write the content `token`. Claims for the content `over` do not block it
    /// either.
    pub(crate) async fn claim(
        &self,
        model: &ModelName,
        version: &VersionName,
        token: &str,
        over: Option<&str>,
    ) -> Result<Claim, ModelError> {
        let folder = object(&["claims", model.as_str(), version.as_str()]);
        let begin = Instant::now();
        loop {
            let claims = self.listed_claims(&folder).await?;
            let highest = claims.iter().max_by_key(|claim| claim.generation);
            let generation = highest.map_or(0, |claim| claim.generation);
            let theirs = highest.and_then(|claim| claim.body.as_ref());
            let is_friendly =
                theirs.is_none_or(|body| body.token == token || Some(body.token.as_str()) == over);
            let void = self.void_among(&claims).await?;

            if !is_friendly && void.len() < claims.len() {
                if begin.elapsed() > TIMEOUT {
                    return Err(ModelError::Claimed {
                        model: model.clone(),
                        version: version.clone(),
                    });
                }

                tokio::time::sleep(POLL_INTERVAL).await;
                continue;
            }

            if !is_friendly {
                tracing::warn!(
                    %model,
                    %version,
                    "taking over the claim of a writer that never finished"
                );
            }

            let number = format!("{:010}", generation + 1);
            let path = object(&["claims", model.as_str(), version.as_str(), &number]);
            let body = Body {
                token: token.to_owned(),
                owner: self.store.owner.clone(),
            };

            // Registered before the put, since a visible claim of ours that is not registered
            // counts as void.
            let active = self.active.begin(&path);
            match self
                .store
                .objects
                .put_opts(&path, body.write().into(), PutMode::Create.into())
                .await
            {
                Ok(_) => {
                    for old in &void {
                        self.delete_object(old).await?;
                    }

                    return Ok(Claim {
                        model: model.clone(),
                        version: version.clone(),
                        folder,
                        path,
                        body,
                        renewed: Instant::now(),
                        _active: active,
                        is_inherited: !claims.is_empty(),
                    });
                }
                Err(ObjectError::AlreadyExists { .. }) => {}
                Err(error) => return Err(model_error("write", &path, &error)),
            }
        }
    }

    /// The paths of the void claims among `claims`.
    async fn void_among(&self, claims: &[ListedClaim]) -> Result<Vec<ObjectPath>, ModelError> {
        let mut void = Vec::new();
        for claim in claims {
            if self.is_void(claim).await? {
                void.push(claim.meta.location.clone());
            }
        }

        Ok(void)
    }

    /// Runs `work` while renewing the claim.
    pub(crate) async fn holding<T>(
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

    /// Checks that the claim is still ours and extends it.
    pub(crate) async fn renew(&self, claim: &mut Claim) -> Result<(), ModelError> {
        self.check_held(claim).await?;
        let put = self
            .store
            .objects
            .put(&claim.path, claim.body.write().into())
            .await;

        put.map_err(|error| model_error("write", &claim.path, &error))?;
        claim.renewed = Instant::now();
        Ok(())
    }

    /// Checks that the claim is still ours, and extends it if half of its time is over.
    pub(crate) async fn confirm(&self, claim: &mut Claim) -> Result<(), ModelError> {
        if claim.renewed.elapsed() < STALE / 2 {
            self.check_held(claim).await
        } else {
            self.renew(claim).await
        }
    }

    async fn check_held(&self, claim: &Claim) -> Result<(), ModelError> {
        let listed = self.list(&claim.folder).await?;
        let highest = listed
            .iter()
            .max_by_key(|meta| generation(&meta.location))
            .map(|meta| &meta.location);
        let theirs = match highest {
            Some(highest) => self.body(highest).await?,
            None => None,
        };

        if theirs.is_none_or(|theirs| theirs.token != claim.body.token) {
            return Err(ModelError::Claimed {
                model: claim.model.clone(),
                version: claim.version.clone(),
            });
        }

        Ok(())
    }

    /// Deletes the claim.
    pub(crate) async fn release(&self, claim: Claim) {
        // If this fails, other writers only have to wait until the claim is stale.
        if let Err(error) = self.delete_object(&claim.path).await {
            tracing::warn!(path = %claim.path, %error, "cannot remove a claim");
        }
    }

    /// Versions whose claims are all void.
    pub(crate) async fn void_claims(&self) -> Result<Vec<(ModelName, VersionName)>, ModelError> {
        let mut versions: Vec<(ModelName, VersionName, bool)> = Vec::new();
        for claim in self.listed_claims(&object(&["claims"])).await? {
            let parts: Vec<_> = claim.meta.location.parts().collect();
            let [_, model, version, ..] = &parts[..] else {
                continue;
            };
            let (Ok(model), Ok(version)) = (
                ModelName::new(model.as_ref()),
                VersionName::new(version.as_ref()),
            ) else {
                continue;
            };

            let is_void = self.is_void(&claim).await?;
            match versions
                .iter_mut()
                .find(|(m, v, _)| *m == model && *v == version)
            {
                Some((_, _, all_void)) => *all_void &= is_void,
                None => versions.push((model, version, is_void)),
            }
        }

        Ok(versions
            .into_iter()
            .filter(|(_, _, void)| *void)
            .map(|(model, version, _)| (model, version))
            .collect())
    }

    /// Whether a writer is working on the version.
    pub(crate) async fn is_claimed(
        &self,
        model: &ModelName,
        version: &VersionName,
    ) -> Result<bool, ModelError> {
        for claim in self
            .listed_claims(&object(&["claims", model.as_str(), version.as_str()]))
            .await?
        {
            if !self.is_void(&claim).await? {
                return Ok(true);
            }
        }

        Ok(false)
    }

    async fn listed_claims(&self, folder: &ObjectPath) -> Result<Vec<ListedClaim>, ModelError> {
        let mut claims = Vec::new();
        for meta in self.list(folder).await? {
            let Some(generation) = generation(&meta.location) else {
                continue;
            };
            let body = self.body(&meta.location).await?;

            claims.push(ListedClaim {
                meta,
                generation,
                body,
            });
        }

        Ok(claims)
    }

    async fn is_void(&self, claim: &ListedClaim) -> Result<bool, ModelError> {
        let Some(body) = &claim.body else {
            return Ok(true);
        };
        if let (Some(us), Some(them)) = (&self.store.owner, &body.owner)
            && us.agent == them.agent
        {
            // From an earlier boot, or from a writer of ours that could not delete it.
            return Ok(us.boot != them.boot || !self.active.contains(&claim.meta.location));
        }

        let age_ms = self.store_now_ms().await? - claim.meta.last_modified.timestamp_millis();
        Ok(i128::from(age_ms) >= STALE.as_millis() as i128)
    }

    /// The time by the store's clock, Unix milliseconds. May lag, so that claims look younger than
    /// they are.
    async fn store_now_ms(&self) -> Result<i64, ModelError> {
        if let Some((at, now_ms)) = *self.clock.lock()
            && at.elapsed() < CLOCK_GOOD_FOR
        {
            return Ok(now_ms + at.elapsed().as_millis() as i64);
        }

        let agent = self
            .store
            .owner
            .as_ref()
            .map_or("anonymous", |owner| owner.agent.as_str());
        let path = object(&["probe", &format!("clock-{agent}")]);
        let put = self.store.objects.put(&path, "".into()).await;

        put.map_err(|error| model_error("write", &path, &error))?;
        let meta = self
            .store
            .objects
            .head(&path)
            .await
            .map_err(|error| model_error("read", &path, &error))?;
        let now_ms = meta.last_modified.timestamp_millis();

        *self.clock.lock() = Some((Instant::now(), now_ms));
        Ok(now_ms)
    }

    async fn body(&self, path: &ObjectPath) -> Result<Option<Body>, ModelError> {
        match self.store.objects.get(path).await {
            Ok(claim) => {
                let bytes = claim
                    .bytes()
                    .await
                    .map_err(|error| model_error("read", path, &error))?;
                Ok(Some(Body::read(&String::from_utf8_lossy(&bytes))))
            }
            Err(ObjectError::NotFound { .. }) => Ok(None),
            Err(error) => Err(model_error("read", path, &error)),
        }
    }

    pub(crate) async fn list(&self, folder: &ObjectPath) -> Result<Vec<ObjectMeta>, ModelError> {
        let listed = self.store.objects.list(Some(folder)).try_collect().await;
        listed.map_err(|error| model_error("list", folder, &error))
    }

    pub(crate) async fn delete_object(&self, path: &ObjectPath) -> Result<(), ModelError> {
        match self.store.objects.delete(path).await {
            Ok(()) | Err(ObjectError::NotFound { .. }) => Ok(()),
            Err(error) => Err(model_error("delete", path, &error)),
        }
    }
}

fn generation(path: &ObjectPath) -> Option<u64> {
    path.filename()?.parse().ok()
}
