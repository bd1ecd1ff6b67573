//! Opens the configured object store.

use crate::{
    Settings,
    health::StoreHealth,
    opened::{CALL_TIMEOUT, OpenStore},
    watched::WatchedStore,
};
use object_store::{
    BackoffConfig, ObjectStore, ObjectStoreScheme, RetryConfig, aws::AmazonS3Builder,
    azure::MicrosoftAzureBuilder, gcp::GoogleCloudStorageBuilder, local::LocalFileSystem,
    multipart::MultipartStore, path::Path as ObjectPath, prefix::PrefixStore,
};
use std::{io, path::PathBuf, str::FromStr, sync::Arc, time::Duration};
use url::Url;

/// How long a failed request is retried before its caller gets the error.
const RETRY_TIMEOUT: Duration = Duration::from_secs(20);
/// Longest pause between two attempts.
const BACKOFF_MAX: Duration = Duration::from_secs(4);

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL is malformed or of an unsupported kind.
    #[error(
        "store.url {url:?}: {why}; expected file:///dir, s3://bucket/prefix, gs://bucket/prefix or \
            azure://container/prefix"
    )]
    Url {
        /// As configured; carries no credentials.
        url: String,
        why: String,
    },
    /// The folder of a local store can't be used.
    #[error("store folder {path}: {error}; make it writable for this user, or change store.url")]
    Folder { path: PathBuf, error: io::Error },
}

/// Opens the configured store. Cloud credentials come from the environment or the platform's
/// identity.
pub fn open(config: &Settings) -> Result<OpenStore, OpenError> {
    let fail = |why: String| OpenError::Url {
        url: config.url.clone(),
        why,
    };

    if let Some(path) = config.url.strip_prefix("file://") {
        return open_folder(PathBuf::from(path), fail);
    }

    let url: Url = config
        .url
        .parse()
        .map_err(|error| fail(format!("{error}")))?;
    let options = options(config);
    let (scheme, prefix) =
        ObjectStoreScheme::parse(&url).map_err(|error| fail(error.to_string()))?;
    let wrong = |error: object_store::Error| fail(error.to_string());

    macro_rules! cloud {
        ($builder:ident, $kind:literal) => {{
            let builder = $builder::new().with_url(url.as_str());
            let builder = configured(builder, &options, |builder, key, value| {
                builder.with_config(key, value)
            });
            let build = |retry| builder.clone().with_retry(retry).build().map_err(wrong);

            let place = place($kind, &url);
            Ok(remote(build(retrying())?, build(once())?, prefix, place))
        }};
    }

    match scheme {
        ObjectStoreScheme::AmazonS3 => cloud!(AmazonS3Builder, "bucket"),
        ObjectStoreScheme::GoogleCloudStorage => cloud!(GoogleCloudStorageBuilder, "bucket"),
        ObjectStoreScheme::MicrosoftAzure => cloud!(MicrosoftAzureBuilder, "container"),
        _ => Err(fail(format!(
            "{} is not a supported kind of store",
            url.scheme()
        ))),
    }
}

/// Lower-case client options; the configuration overrides the environment.
fn options(config: &Settings) -> Vec<(String, String)> {
    let environment = std::env::vars().filter(|(key, _)| {
        ["AWS_", "GOOGLE_", "AZURE_"]
            .iter()
            .any(|prefix| key.starts_with(prefix))
    });
    let configured = config
        .options
        .iter()
        .map(|(key, value)| (key.clone(), value.clone()));

    environment
        .chain(configured)
        .map(|(key, value)| (key.to_ascii_lowercase(), value))
        .collect()
}

fn retrying() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            max_backoff: BACKOFF_MAX,
            ..BackoffConfig::default()
        },
        retry_timeout: RETRY_TIMEOUT,
        ..RetryConfig::default()
    }
}

fn once() -> RetryConfig {
    RetryConfig {
        max_retries: 0,
        ..RetryConfig::default()
    }
}

fn open_folder(root: PathBuf, fail: impl Fn(String) -> OpenError) -> Result<OpenStore, OpenError> {
    if !root.is_absolute() {
        return Err(fail("the folder must be absolute".into()));
    }

    let folder = |error| OpenError::Folder {
        path: root.clone(),
        error,
    };

    std::fs::create_dir_all(&root).map_err(folder)?;
    let probe = root.join(format!(".writable-{}", std::process::id()));
    match std::fs::write(&probe, b"").and_then(|()| std::fs::remove_file(&probe)) {
        // Start even with a full disk: existing models can be served, and the monitor reports it.
        Err(error) if error.kind() != io::ErrorKind::StorageFull => return Err(folder(error)),
        _ => {}
    }

    let local = LocalFileSystem::new_with_prefix(&root).map_err(|error| fail(error.to_string()))?;
    let place = format!("folder {}", root.display());
    let local = Arc::new(local.with_fsync(true));

    Ok(watched(local.clone(), local, None, Some(root), place))
}

/// Applies the options that a kind of store supports; others are ignored.
fn configured<B, K: FromStr>(
    builder: B,
    options: &[(String, String)],
    set: impl Fn(B, K, &str) -> B,
) -> B {
    options
        .iter()
        .fold(builder, |builder, (key, value)| match key.parse() {
            Ok(key) => set(builder, key, value),
            Err(_) => builder,
        })
}

/// The store's name in errors.
fn place(kind: &str, url: &Url) -> String {
    match (url.scheme(), url.host_str()) {
        ("http" | "https", Some(host)) => format!("store at {}://{host}", url.scheme()),
        (_, Some(host)) => format!("{kind} {host:?}"),
        (_, None) => kind.into(),
    }
}

fn remote<S: ObjectStore + MultipartStore>(
    store: S,
    prober: S,
    prefix: ObjectPath,
    place: String,
) -> OpenStore {
    let store = Arc::new(PrefixStore::new(store, prefix.clone()));
    let prober = Arc::new(PrefixStore::new(prober, prefix));
    watched(store.clone(), prober, Some(store), None, place)
}

fn watched(
    objects: Arc<dyn ObjectStore>,
    prober: Arc<dyn ObjectStore>,
    multipart: Option<Arc<dyn MultipartStore>>,
    root: Option<PathBuf>,
    place: String,
) -> OpenStore {
    let health = StoreHealth::new(place);
    let timeout = root.as_ref().map(|_| CALL_TIMEOUT);
    let objects = WatchedStore::new(objects, health.clone(), timeout);
    let prober = Arc::new(WatchedStore::new(prober, health.clone(), timeout).unguarded());
    let unguarded = Arc::new(objects.unguarded());

    OpenStore {
        objects: Arc::new(objects),
        unguarded,
        prober,
        multipart,
        root,
        health,
        owner: None,
    }
}
