//! Why a store failed, as text without XML, signed URLs or errno.

use object_store::{Error as ObjectError, path::Path as ObjectPath};
use regionmesh_runtime::{
    describe::{QUOTED_MAX, io_words},
    models::ModelError,
};
use std::{error::Error, fmt, io};

/// Why an operation of a store failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The bucket, container or folder does not exist.
    Missing(String),
    /// The credentials are wrong or don't allow it.
    Refused(String),
    /// No space left.
    Full,
    /// No connection.
    Unreachable(String),
    /// No answer within this many milliseconds.
    Silent(u64),
    /// The conditional-write check has not passed yet; writes wait for it.
    Unchecked,
    /// The store lacks a required capability.
    Unfit(String),
    /// Anything else.
    Failed(String),
}

/// A failure of one store, in readable form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreFault {
    /// The store: `bucket "models"`.
    pub(crate) place: String,
    pub(crate) cause: Cause,
}

impl fmt::Display for StoreFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = &self.place;
        match &self.cause {
            Cause::Missing(what) => write!(
                f,
                "{place} does not exist ({what}); create it or correct store.url"
            ),
            Cause::Refused(what) => {
                write!(
                    f,
                    "{place} refuses access ({what}); check the credentials and the permissions \
                        they have"
                )
            }
            Cause::Full => write!(f, "{place} is full: no space left; make room"),
            Cause::Unreachable(why) => write!(f, "{place} cannot be reached: {why}"),
            Cause::Silent(ms) => {
                write!(f, "{place} did not answer within {:.1} s", *ms as f64 / 1e3)
            }
            Cause::Unchecked => write!(
                f,
                "{place} could not be reached since the start, so that it is not known whether it \
                    supports conditional writes; nothing is written to it before"
            ),
            Cause::Unfit(why) => write!(f, "{place} cannot be used: {why}"),
            Cause::Failed(why) => write!(f, "{place} failed: {why}"),
        }
    }
}

impl Error for StoreFault {}

impl StoreFault {
    /// The fault that an error of a watched store carries.
    pub(crate) fn of(error: &ObjectError) -> Option<&StoreFault> {
        error.source()?.downcast_ref()
    }

    /// Converts to an error of the object_store crate.
    pub(crate) fn into_error(self) -> ObjectError {
        ObjectError::Generic {
            store: "object",
            source: Box::new(self),
        }
    }
}

/// A store's error as text.
pub(crate) fn words(error: &ObjectError) -> String {
    match StoreFault::of(error) {
        Some(fault) => fault.to_string(),
        None => StoreFault {
            place: "the store".into(),
            cause: cause(error),
        }
        .to_string(),
    }
}

/// The caller's error for a failed operation on `path`.
pub(crate) fn model_error(
    action: &'static str,
    path: &ObjectPath,
    error: &ObjectError,
) -> ModelError {
    if cause(error) == Cause::Full {
        return ModelError::Full {
            path: path.to_string(),
        };
    }

    ModelError::Store {
        action,
        path: path.to_string(),
        why: words(error),
    }
}

/// Whether this is a working store's answer: an object is missing or exists already.
pub(crate) fn is_answer(error: &ObjectError) -> bool {
    match error {
        ObjectError::NotFound { .. } => !is_place_missing(&texts(error)),
        ObjectError::AlreadyExists { .. }
        | ObjectError::Precondition { .. }
        | ObjectError::NotModified { .. }
        | ObjectError::InvalidPath { .. }
        | ObjectError::NotSupported { .. }
        | ObjectError::NotImplemented { .. }
        | ObjectError::UnknownConfigurationKey { .. } => true,
        _ => false,
    }
}

/// Why an operation failed.
pub(crate) fn cause(error: &ObjectError) -> Cause {
    if let Some(fault) = StoreFault::of(error) {
        return fault.cause.clone();
    }

    let text = texts(error);
    let system = system_error(error);
    let code = between(&text, "<Code>", "</Code>");
    let origin = origin(&text);
    let detail = |fallback: &str| {
        let parts = [
            code.unwrap_or(fallback),
            origin.as_deref().unwrap_or_default(),
        ];

        parts
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join(", ")
    };

    let status = status(&text);
    if system == Some(io::ErrorKind::StorageFull)
        || status == Some(507)
        || code.is_some_and(|code| code.contains("StorageFull") || code.contains("QuotaExceeded"))
    {
        return Cause::Full;
    }

    if is_place_missing(&text) {
        return Cause::Missing(detail("not found"));
    }

    let is_refused = matches!(
        error,
        ObjectError::PermissionDenied { .. } | ObjectError::Unauthenticated { .. }
    ) || matches!(status, Some(401 | 403))
        || system == Some(io::ErrorKind::PermissionDenied);

    if is_refused {
        return Cause::Refused(detail("permission denied"));
    }

    match status {
        Some(status) => match detail("") {
            detail if detail.is_empty() => Cause::Failed(format!("HTTP {status}")),
            detail => Cause::Failed(format!("HTTP {status} ({detail})")),
        },
        None if origin.is_some() => {
            let why = innermost(error);
            Cause::Unreachable(format!("{why} ({})", origin.unwrap_or_default()))
        }
        None => Cause::Failed(innermost(error)),
    }
}

/// The texts of an error and its causes.
fn texts(error: &ObjectError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push(' ');
        text += &error.to_string();
        cause = error.source();
    }

    text
}

/// The text of the innermost cause, without markup and system error numbers.
fn innermost(error: &ObjectError) -> String {
    let mut last: &dyn Error = error;
    while let Some(cause) = last.source() {
        last = cause;
    }

    let text = last
        .downcast_ref::<io::Error>()
        .map_or_else(|| last.to_string(), io_words);
    let text = text
        .split('<')
        .next()
        .unwrap_or_default()
        .split(" (os error ")
        .next()
        .unwrap_or_default()
        .trim();

    if text.is_empty() {
        "unknown error".into()
    } else {
        text.chars().take(QUOTED_MAX).collect()
    }
}

fn system_error(error: &ObjectError) -> Option<io::ErrorKind> {
    let mut cause: Option<&dyn Error> = Some(error);
    let mut kind = None;
    while let Some(error) = cause {
        kind = error
            .downcast_ref::<io::Error>()
            .map(io::Error::kind)
            .filter(|kind| *kind != io::ErrorKind::Other)
            .or(kind);

        cause = error.source();
    }

    kind
}

fn is_place_missing(text: &str) -> bool {
    ["NoSuchBucket", "ContainerNotFound", "bucket does not exist"]
        .iter()
        .any(|sign| text.contains(sign))
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let found = text.split_once(before)?.1.split_once(after)?.0.trim();
    let is_word = !found.is_empty()
        && found.len() <= 64
        && found.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_word.then_some(found)
}

/// Scheme, host and port of the first URL in a text.
fn origin(text: &str) -> Option<String> {
    let start = text.find("http://").or_else(|| text.find("https://"))?;
    let url = text[start..]
        .split([' ', '"', '\'', '<', ')', ','])
        .next()?;
    let (scheme, rest) = url.split_once("://")?;
    let host = rest.split(['/', '?', '#']).next()?;
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);

    (!host.is_empty()).then(|| format!("{scheme}://{host}"))
}

fn status(text: &str) -> Option<u16> {
    let code = text.split_once("status code: ")?.1.get(..3)?;
    code.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_server(text: &str) -> ObjectError {
        ObjectError::Generic {
            store: "S3",
            source: text.to_owned().into(),
        }
    }

    #[test]
    fn a_missing_bucket_is_reported_without_markup() {
        let text = "Error performing PUT \
                    http://10.0.0.1:9000/models/r1/x?uploads&X-Amz-Signature=abc in 3.1s, after 2 \
                    retries, max_retries: 10, retry_timeout: 180s  - Server returned non-2xx \
                    status code: 404 Not Found: <?xml version=\"1.0\"?>\
                    <Error><Code>NoSuchBucket</Code></Error>";
        let error = ObjectError::NotFound {
            path: "x".into(),
            source: text.into(),
        };

        assert!(!is_answer(&error));
        let fault = StoreFault {
            place: "bucket \"models\"".into(),
            cause: cause(&error),
        };

        assert_eq!(
            fault.to_string(),
            "bucket \"models\" does not exist (NoSuchBucket, http://10.0.0.1:9000); create it or \
                correct store.url"
        );

        assert_eq!(words(&fault.clone().into_error()), fault.to_string());
    }

    #[test]
    fn a_full_store_a_refusal_and_a_failure_are_distinguished() {
        let full = ObjectError::Generic {
            store: "file",
            source: Box::new(io::Error::from(io::ErrorKind::StorageFull)),
        };

        assert_eq!(cause(&full), Cause::Full);
        let full =
            from_server("status code: 507 Insufficient Storage: <Code>XMinioStorageFull</Code>");
        assert_eq!(cause(&full), Cause::Full);

        let denied = ObjectError::PermissionDenied {
            path: "x".into(),
            source: "<Code>AccessDenied</Code>".into(),
        };

        assert_eq!(cause(&denied), Cause::Refused("AccessDenied".into()));
        let slow = from_server(
            "PUT https://s3.example/b/k?x=y - status code: 503 : <Code>SlowDown</Code>",
        );
        assert_eq!(
            cause(&slow),
            Cause::Failed("HTTP 503 (SlowDown, https://s3.example)".into())
        );

        assert!(is_answer(&ObjectError::NotFound {
            path: "x".into(),
            source: "no".into()
        }));
    }

    #[test]
    fn os_errors_are_printed_without_their_number() {
        assert_eq!(
            io_words(&io::Error::from_raw_os_error(111)),
            "connection refused"
        );

        let error = ObjectError::Generic {
            store: "file",
            source: Box::new(io::Error::from_raw_os_error(20)),
        };

        assert_eq!(words(&error), "the store failed: not a directory");
    }
}
