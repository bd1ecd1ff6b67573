//! Who may change the files of a version now.
//!
//! A claim is a numbered object, `claims/<model>/<version>/<generation>`, created with
//! put-if-absent. It names the content being stored, the agent that stores it, and that agent's
//! boot. The highest generation holds. Writers of the same content join each other, since their
//! files are the same; others wait. A holder renews its claim while it works.
//!
//! A claim is void, and may be taken over,
//! * for the agent that it names: once that agent has another boot, or no writer in its process
//!   holds the claim any more. An agent that restarts after a crash therefore frees its names at
//!   once;
//! * for all others: once it was not renewed for [`STALE`].
//!
//! So wherever files lie without a manifest, a claim tells that they are leftovers of ours. Files
//! that another program put into the bucket are left alone.
//!
//! The age of a claim is measured by the store's clock: the timestamp of an object written just
//! now, minus the timestamp of the claim. Agents' clocks don't matter.

use crate::{
    Owner,
    fault::model_error,
    models::{ModelStore, object},
};
use futures::TryStreamExt;
use object_store::{
    Error as ObjectError, ObjectMeta, ObjectStoreExt, PutMode, path::Path as ObjectPath,
};
use regionmesh_protocol::models::manifest::{ModelName, VersionName};
use regionmesh_runtime::models::ModelError;
use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// A claim not renewed for this long is its crashed holder's: ten times [`RENEW`].
const STALE: Duration = Duration::from_secs(600);
/// How often a holder renews its claim.
const RENEW: Duration = Duration::from_secs(60);
/// How long to wait for another writer: enough for a small version to be placed.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How often to look whether the other writer is done.
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

/// The claims that writers in this process hold now. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct ActiveClaims(Arc<Mutex<BTreeMap<ObjectPath, usize>>>);

impl ActiveClaims {
    fn begin(&self, path: &ObjectPath) -> ActiveClaim {
        // Counted, because two writers may try to create the same generation.
        *self.lock().entry(path.clone()).or_default() += 1;
        ActiveClaim {
            all: self.clone(),
            path: path.clone(),
        }
    }

    fn contains(&self, path: &ObjectPath) -> bool {
        self.lock().contains_key(path)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<ObjectPath, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One active claim; ends when dropped.
#[derive(Debug)]
struct ActiveClaim {
    all: ActiveClaims,
    path: ObjectPath,
}

impl Drop for ActiveClaim {
    fn drop(&mut self) {
        let mut all = self.all.lock();
        match all.get_mut(&self.path) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(all.remove(&self.path)),
        }
    }
}

/// A claim that stands.
struct TrafficState {
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
    /// Whether somebody claimed the version before us and did not finish.
    pub(crate) is_inherited: bool,
}

impl ModelStore {
    /// Claims a version for writing `token`'s content; `over` is a further content whose claims are
    /// no hindrance.
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
            let traffic_state = self.traffic_state(&folder).await?;
            let highest = traffic_state.iter().max_by_key(|claim| claim.generation);
            let generation = highest.map_or(0, |claim| claim.generation);
            let theirs = highest.and_then(|claim| claim.body.as_ref());
            let is_friendly =
                theirs.is_none_or(|body| body.token == token || Some(body.token.as_str()) == over);
            let mut void = Vec::new();
            let mut living = 0;

            for claim in &traffic_state {
                if self.is_void(claim).await? {
                    void.push(claim.meta.location.clone());
                } else {
                    living += 1;
                }
            }

            if !is_friendly && living > 0 {
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
                tracing::warn!(%model, %version, "taking over the claim of a writer that never \
                    finished");
            }

            let number = format!("{:010}", generation + 1);
            let path = object(&["claims", model.as_str(), version.as_str(), &number]);
            let body = Body {
                token: token.to_owned(),
                owner: self.store.owner.clone(),
            };

            // Registered before the put: a visible claim of ours that is not active would be void.
            let active = self.active.begin(&path);
            match self
                .store
                .objects
                .put_opts(&path, body.write().into(), PutMode::Create.into())
                .await
            {
                Ok(_) => {
                    // The void ones are ours to remove; those of friends are theirs.
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
                        is_inherited: !traffic_state.is_empty(),
                    });
                }
                Err(ObjectError::AlreadyExists { .. }) => {}
                Err(error) => return Err(model_error("write", &path, &error)),
            }
        }
    }

    /// Does `work` and renews the claim meanwhile.
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

    /// Makes sure that the claim is still ours for minutes to come.
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

    /// Makes sure that the claim is still ours, and for as long as the rest takes.
    pub(crate) async fn confirm(&self, claim: &mut Claim) -> Result<(), ModelError> {
        if claim.renewed.elapsed() < STALE / 2 {
            self.check_held(claim).await
        } else {
            self.renew(claim).await
        }
    }

    async fn check_held(&self, claim: &Claim) -> Result<(), ModelError> {
        let traffic_state = self.list(&claim.folder).await?;
        let highest = traffic_state
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

    /// Gives the claim back.
    pub(crate) async fn release(&self, claim: Claim) {
        // A failure costs no more than a wait: it goes stale by itself.
        if let Err(error) = self.delete_object(&claim.path).await {
            tracing::warn!(path = %claim.path, %error, "cannot remove a claim");
        }
    }

    /// Versions whose claims are all void.
    pub(crate) async fn void_claims(&self) -> Result<Vec<(ModelName, VersionName)>, ModelError> {
        let mut versions: Vec<(ModelName, VersionName, bool)> = Vec::new();
        for claim in self.traffic_state(&object(&["claims"])).await? {
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
            .traffic_state(&object(&["claims", model.as_str(), version.as_str()]))
            .await?
        {
            if !self.is_void(&claim).await? {
                return Ok(true);
            }
        }

        Ok(false)
    }

    async fn traffic_state(&self, folder: &ObjectPath) -> Result<Vec<TrafficState>, ModelError> {
        let mut traffic_state = Vec::new();
        for meta in self.list(folder).await? {
            let Some(generation) = generation(&meta.location) else {
                continue;
            };
            let body = self.body(&meta.location).await?;

            traffic_state.push(TrafficState {
                meta,
                generation,
                body,
            });
        }

        Ok(traffic_state)
    }

    async fn is_void(&self, claim: &TrafficState) -> Result<bool, ModelError> {
        let Some(body) = &claim.body else {
            return Ok(true);
        };
        if let (Some(us), Some(them)) = (&self.store.owner, &body.owner)
            && us.agent == them.agent
        {
            // Left by an earlier boot, or by a writer of ours that could not delete it.
            return Ok(us.boot != them.boot || !self.active.contains(&claim.meta.location));
        }

        let age_ms = self.store_now_ms().await? - claim.meta.last_modified.timestamp_millis();
        Ok(i128::from(age_ms) >= STALE.as_millis() as i128)
    }

    /// The time by the store's clock, Unix milliseconds. Errs on the early side, so that claims
    /// look younger than they are.
    async fn store_now_ms(&self) -> Result<i64, ModelError> {
        if let Some((at, now_ms)) = *self.clock.lock().unwrap_or_else(PoisonError::into_inner)
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

        *self.clock.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), now_ms));
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
