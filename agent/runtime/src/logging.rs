//! Structured logs on standard error, as text or JSON; times in UTC.

use parking_lot::Mutex;
pub use regionmesh_core::throttle::KeyedThrottle;
use regionmesh_protocol::text::{is_unprintable, visible};
use serde::{Deserialize, Serialize};
use std::{
    io::{self, IsTerminal, Write},
    panic::PanicHookInfo,
    sync::OnceLock,
    time::{Duration, Instant},
};
use tracing_subscriber::{
    EnvFilter, Registry,
    field::RecordFields,
    fmt::{
        self, FormatFields,
        format::{DefaultFields, Writer},
    },
    layer::SubscriberExt,
    reload,
    util::SubscriberInitExt,
};

#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// Form of a log line.
    pub format: LogFormat,
    /// A tracing filter, for example `info,regionmesh_mesh=debug`; `RUST_LOG` outranks it.
    pub filter: String,
}

impl Default for LogConfig {
    fn default() -> Self {
        // ractor_cluster logs every session at info; the mesh logs what operators need.
        Self {
            format: LogFormat::Text,
            filter: "info,ractor=warn,ractor_cluster=warn".into(),
        }
    }
}

/// Form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// Readable text.
    Text,
    /// One JSON object per line.
    Json,
}

/// The filter in force, once logging has started.
static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is invalid.
    #[error("log.filter (or RUST_LOG) {0:?} is not a filter: {1}; try info,regionmesh_mesh=debug")]
    Filter(String, tracing_subscriber::filter::ParseError),
    /// Logging was already set up.
    #[error("logging is set up already: {0}")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
    /// The filter can't be replaced.
    #[error("the log filter can't be replaced: {0}")]
    Replace(#[from] reload::Error),
}

/// Starts logging; panics are logged too, with their location.
pub fn init(config: &LogConfig) -> Result<(), LogError> {
    let (filter, handle) = reload::Layer::new(filter(environment(), config)?);
    let registry = tracing_subscriber::registry().with(filter);
    let layer = fmt::layer().with_writer(std::io::stderr);

    match config.format {
        LogFormat::Text => {
            let layer = layer.fmt_fields(PrintableFields);
            // See https://no-color.org; it disables colours on a terminal too.
            let is_plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());

            registry
                .with(layer.with_ansi(!is_plain && std::io::stderr().is_terminal()))
                .try_init()?;
        }
        LogFormat::Json => {
            let layer = layer.with_writer(|| PrintableJson(std::io::stderr()));
            registry.with(layer.json().flatten_event(true)).try_init()?;
        }
    }

    std::panic::set_hook(Box::new(log_panic));
    // A second setup is refused above.
    let _ = FILTER.set(handle);
    Ok(())
}

/// Replaces the filter of a process that logs already.
pub fn set_filter(config: &LogConfig) -> Result<(), LogError> {
    let filter = filter(environment(), config)?;
    match FILTER.get() {
        Some(handle) => Ok(handle.reload(filter)?),
        None => Ok(()),
    }
}

/// Whether the environment overrides the configured filter.
pub fn is_filter_of_environment() -> bool {
    environment().is_some_and(|text| !text.trim().is_empty())
}

fn environment() -> Option<String> {
    std::env::var(EnvFilter::DEFAULT_ENV).ok()
}

/// The usual fields with unprintable characters escaped: texts of peers and clients must not forge
/// log lines or control a terminal.
struct PrintableFields;

impl<'writer> FormatFields<'writer> for PrintableFields {
    fn format_fields<R: RecordFields>(
        &self,
        mut writer: Writer<'writer>,
        fields: R,
    ) -> std::fmt::Result {
        let mut text = String::new();
        DefaultFields::new().format_fields(Writer::new(&mut text), fields)?;
        writer.write_str(&visible(&text))
    }
}

/// Escapes what JSON allows unescaped: DEL, C1 and direction changes. They occur only in strings,
/// where `\u` is equivalent, so that programs read the same text.
struct PrintableJson<W>(W);

impl<W: Write> Write for PrintableJson<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let is_escaped = |c: char| c != '\n' && is_unprintable(c);
        if !text.contains(is_escaped) {
            self.0.write_all(line)?;
            return Ok(line.len());
        }

        let mut escaped = String::with_capacity(text.len() + 16);
        for c in text.chars() {
            if is_escaped(c) {
                escaped += &format!("\\u{:04x}", u32::from(c));
            } else {
                escaped.push(c);
            }
        }

        self.0.write_all(escaped.as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The filter in force: `RUST_LOG` outranks the configuration, unless it is blank.
fn filter(environment: Option<String>, config: &LogConfig) -> Result<EnvFilter, LogError> {
    let text = environment
        .filter(|text| !text.trim().is_empty())
        .unwrap_or_else(|| config.filter.clone());
    EnvFilter::try_new(&text).map_err(|error| LogError::Filter(text, error))
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let place = panic
        .location()
        .map(ToString::to_string)
        .unwrap_or_default();
    let message = panic.payload_as_str().unwrap_or("of an unknown kind");

    if tracing::enabled!(tracing::Level::ERROR) {
        tracing::error!(
            place,
            thread = std::thread::current().name().unwrap_or_default(),
            "panic: {message}"
        );
    } else {
        // A filter that hides errors must not hide a panic.
        let _ = writeln!(std::io::stderr(), "panic at {place}: {message}");
    }
}

/// Rate limit of a log line: outsiders must not be able to fill the disk.
#[derive(Debug)]
pub struct Throttle {
    every: Duration,
    state: Mutex<(Option<Instant>, u64)>,
}

impl Throttle {
    /// One line each `every`.
    pub const fn new(every: Duration) -> Self {
        Self {
            every,
            state: Mutex::new((None, 0)),
        }
    }

    /// The number of lines left out since the last one, if the line is to be written now.
    pub fn admit(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock();
        let (last, left_out) = &mut *state;
        if last.is_some_and(|last| now.saturating_duration_since(last) < self.every) {
            *left_out += 1;
            return None;
        }

        *last = Some(now);
        Some(std::mem::take(left_out))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_overrides_the_configuration_unless_it_is_blank() {
        let config = LogConfig::default();
        assert_eq!(
            filter(Some("warn".into()), &config).unwrap().to_string(),
            "warn"
        );

        for blank in [None, Some(String::new()), Some(" ".into())] {
            assert!(
                filter(blank, &config)
                    .unwrap()
                    .to_string()
                    .contains("ractor_cluster=warn")
            );
        }
    }

    /// Captures what is written.
    #[derive(Clone, Default)]
    struct CapturedOutput(std::sync::Arc<Mutex<Vec<u8>>>);

    impl Write for CapturedOutput {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_field_cannot_forge_a_line_or_an_escape_sequence() {
        let output = CapturedOutput::default();
        let writer = output.clone();
        let layer = fmt::layer()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .fmt_fields(PrintableFields);
        let bad = "x\nforged\r\u{1b}[31m\u{9b}\u{202e}\0";

        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::info!(display = %bad, debug = ?bad, text = bad, "message {bad}");
        });

        let written = String::from_utf8(output.0.lock().clone()).unwrap();
        assert_eq!(written.lines().count(), 1, "{written}");

        let line = written.trim_end_matches('\n');
        assert_eq!(
            regionmesh_protocol::text::unprintable(line),
            None,
            "{line:?}"
        );

        assert!(
            line.contains("message x\\nforged") && line.contains("display=x\\nforged"),
            "{line}"
        );
    }

    #[test]
    fn a_json_line_keeps_its_value_and_escapes_control_characters() {
        let mut writer = PrintableJson(Vec::new());
        let line = serde_json::json!({ "reason": "a\n\u{9b}31m\u{202e}b\u{7f} é" });
        writer.write_all(format!("{line}\n").as_bytes()).unwrap();

        let written = String::from_utf8(writer.0).unwrap();
        assert_eq!(
            regionmesh_protocol::text::unprintable(written.trim_end_matches('\n')),
            None,
            "{written:?}"
        );

        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&written).unwrap(),
            line
        );
    }

    #[test]
    fn an_invalid_filter_is_quoted_in_the_error() {
        let error = filter(Some("=loud=".into()), &LogConfig::default())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("=loud=") && error.contains("RUST_LOG"),
            "{error}"
        );
    }

    #[test]
    fn a_throttle_passes_one_line_and_counts_the_rest() {
        let throttle = Throttle::new(Duration::from_secs(60));
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);

        assert_eq!(
            [0, 1, 59, 60, 61].map(|s| throttle.admit(after(s))),
            [Some(0), None, None, Some(2), None]
        );
    }
}
