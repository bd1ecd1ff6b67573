//! The secrets of DNS cookies: read from a file that all agents share, or random.

use crate::{config::CookieConfig, cookies::Secrets, error::DnsError, shared::Shared};
use std::{io, path::Path, sync::Arc, time::Duration};
use tracing::{info, warn};

/// How often the file of secrets is read.
const SECRETS_CHECK: Duration = Duration::from_secs(10);
/// How long a generated secret makes cookies; they are accepted for as long again.
const SECRETS_LIFETIME: Duration = Duration::from_secs(24 * 3_600);
/// Largest file of secrets, bytes.
const SECRETS_LIMIT: u64 = 4_096;

/// The initial secrets; none if cookies are off.
pub(super) fn first(cookies: &CookieConfig) -> Result<Option<Secrets>, DnsError> {
    match &cookies.secret_file {
        _ if !cookies.enabled => Ok(None),
        None => Ok(Some(Secrets::new(rand::random()))),
        Some(path) => match read(path) {
            Ok(secrets) => Ok(Some(secrets)),
            Err(why) => Err(DnsError::Secrets {
                path: path.clone(),
                why,
            }),
        },
    }
}

fn read(path: &Path) -> Result<Secrets, String> {
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let mut text = String::new();
    io::Read::read_to_string(&mut io::Read::take(file, SECRETS_LIMIT), &mut text)
        .map_err(|error| error.to_string())?;
    Secrets::parse(&text).map_err(|error| error.to_string())
}

/// Reloads the secret file when it changes; without one, creates a new secret every day.
pub(super) async fn rotate(shared: Arc<Shared>) {
    let mut logged = None;
    loop {
        let Some(current) = shared.secrets.load_full() else {
            return;
        };
        let Some(path) = &shared.config.settings.cookies.secret_file else {
            tokio::time::sleep(SECRETS_LIFETIME).await;
            shared
                .secrets
                .store(Some(Arc::new(current.rotated(rand::random()))));
            info!("DNS cookies are made with a new secret");
            continue;
        };

        tokio::time::sleep(SECRETS_CHECK).await;
        match read(path) {
            Ok(secrets) if secrets != *current => {
                shared.secrets.store(Some(Arc::new(secrets)));
                logged = None;
                info!(path = %path.display(), "DNS cookies are made with the secrets of a changed \
                    file");
            }
            Ok(_) => logged = None,
            Err(error) if logged.as_ref() == Some(&error) => {}
            Err(error) => {
                warn!(path = %path.display(), %error, "cannot read the secrets of DNS cookies; \
                    keeping the current ones");
                logged = Some(error);
            }
        }
    }
}
