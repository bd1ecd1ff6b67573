//! Claims: which writer may change the files of a version, by the rules of regionmesh-store.

use super::{
    context::{Context, WorkError, Worked},
    objects::{Bytes, Listed},
};
use regionmesh_protocol::models::manifest::{ModelName, VersionName};

/// A claim not renewed for this long belongs to a crashed writer.
const STALE_MS: u64 = 600_000;
/// How long to wait for another writer.
const TIMEOUT_MS: u64 = 10_000;
/// How often to check whether the other writer is done.
const POLL_MS: u64 = 250;

/// A claim found in the store.
struct ListedClaim {
    listed: Listed,
    body: Option<Bytes>,
}

/// A claim that we hold.
pub(super) struct Claim {
    folder: String,
    path: String,
    token: String,
    _active: Active,
    /// Whether an earlier writer's claim was taken over.
    pub(super) is_inherited: bool,
}

/// A claim that a writer of this process holds; ends when dropped.
struct Active(Context, String);

impl Active {
    fn begin(context: &Context, path: &str) -> Self {
        context.with(|it| *it.active.entry(path.to_owned()).or_default() += 1);
        Self(context.clone(), path.to_owned())
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.with(|it| match it.active.get_mut(&self.1) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(it.active.remove(&self.1)),
        });
    }
}

fn folder(model: &ModelName, version: &VersionName) -> String {
    format!("claims/{model}/{version}/")
}

/// The token, the agent and the boot of a claim.
fn fields(body: &[u8]) -> (String, String, String) {
    let text = String::from_utf8_lossy(body);
    let mut lines = text.lines().map(str::to_owned);
    let mut next = || lines.next().unwrap_or_default();
    (next(), next(), next())
}

impl Context {
    /// Claims a version to write the content `token`. Claims for the content `over` do not block it
    /// either.
    pub(super) async fn claim(
        &self,
        model: &ModelName,
        version: &VersionName,
        token: &str,
        over: Option<&str>,
    ) -> Worked<Claim> {
        let folder = folder(model, version);
        let begin_ms = self.with(|it| it.now_ms);
        loop {
            let (claims, now_ms) = self.listed_claims(&folder).await?;
            let highest = claims.last();
            let theirs = highest.and_then(|claim| claim.body.as_deref().map(fields));
            let is_friendly = theirs
                .as_ref()
                .is_none_or(|(theirs, ..)| theirs == token || Some(theirs.as_str()) == over);
            let void: Vec<String> = claims
                .iter()
                .filter(|claim| self.is_void(claim, now_ms))
                .map(|claim| claim.listed.path.clone())
                .collect();

            if !is_friendly && void.len() < claims.len() {
                if self.with(|it| it.now_ms) > begin_ms + TIMEOUT_MS {
                    return Err(WorkError::Claimed);
                }
                self.sleep(POLL_MS).await;
                continue;
            }

            let generation = highest.map_or(0, |claim| generation(&claim.listed.path));
            let path = format!("{folder}{:010}", generation + 1);
            let body = self.with(|it| format!("{token}\n{}\n{}", it.id, it.boot));
            // Registered before the put: a visible claim of ours that is not registered is void.
            let active = Active::begin(self, &path);
            if !self
                .put_if_absent(path.clone(), body.into_bytes().into())
                .await?
            {
                continue;
            }

            for old in &void {
                self.delete(old).await?;
            }
            return Ok(Claim {
                folder,
                path,
                token: token.to_owned(),
                _active: active,
                is_inherited: !claims.is_empty(),
            });
        }
    }

    /// Checks that the claim is still ours.
    pub(super) async fn confirm(&self, claim: &Claim) -> Worked<()> {
        let (claims, _) = self.listed_claims(&claim.folder).await?;
        let theirs = claims.last().and_then(|claim| claim.body.as_deref());
        match theirs.map(fields) {
            Some((token, ..)) if token == claim.token => Ok(()),
            _ => Err(WorkError::Claimed),
        }
    }

    /// Deletes the claim.
    pub(super) async fn release(&self, claim: Claim) {
        // If this fails, other writers only have to wait until the claim is stale.
        let _ = self.delete(&claim.path).await;
    }

    /// Versions whose claims are all void.
    pub(super) async fn void_claims(&self) -> Worked<Vec<(ModelName, VersionName)>> {
        let (claims, now_ms) = self.listed_claims("claims/").await?;
        let mut versions: Vec<(ModelName, VersionName, bool)> = Vec::new();
        for claim in claims {
            let mut parts = claim.listed.path.split('/').skip(1);
            let model = parts.next().and_then(|model| model.parse().ok());
            let version = parts.next().and_then(|version| version.parse().ok());
            let Some((model, version)) = model.zip(version) else {
                continue;
            };

            let is_void = self.is_void(&claim, now_ms);
            match versions
                .iter_mut()
                .find(|(m, v, _)| *m == model && *v == version)
            {
                Some((_, _, are_void)) => *are_void &= is_void,
                None => versions.push((model, version, is_void)),
            }
        }

        let void = versions.into_iter().filter(|(_, _, are_void)| *are_void);
        Ok(void.map(|(model, version, _)| (model, version)).collect())
    }

    async fn listed_claims(&self, folder: &str) -> Worked<(Vec<ListedClaim>, u64)> {
        let (listed, now_ms) = self.list(folder).await?;
        let paths = listed.iter().map(|listed| listed.path.clone()).collect();
        let bodies = self.get_all(paths).await?;

        let claims = listed.into_iter().zip(bodies);
        let claims = claims.map(|(listed, body)| ListedClaim { listed, body });
        Ok((claims.collect(), now_ms))
    }

    fn is_void(&self, claim: &ListedClaim, now_ms: u64) -> bool {
        let Some(body) = &claim.body else {
            return true;
        };
        let (_, agent, boot) = fields(body);
        self.with(|it| match agent == it.id.to_string() {
            true => boot != it.boot.to_string() || !it.active.contains_key(&claim.listed.path),
            false => now_ms - claim.listed.modified_ms >= STALE_MS,
        })
    }
}

fn generation(path: &str) -> u64 {
    let number = path.rsplit('/').next().and_then(|name| name.parse().ok());
    number.unwrap_or(0)
}
