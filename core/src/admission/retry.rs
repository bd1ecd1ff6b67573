//! What a proxy in front of several regions may retry, how often, and how many requests it sends at
//! the same time.
//!
//! Three rules, each pure. [`decide`]: whether to retry one request after a failed attempt.
//! [`RetryBudget`]: how many retries all requests together may cause, so that retries never
//! multiply an overload. [`ReleaseWindow`]: how many requests may be in flight to a region, so that
//! requests that were held while no region answered don't all arrive in the same millisecond.

use strum::IntoStaticStr;

/// Requests in flight when a region was just found: enough for a region with four parallel
/// inferences.
pub(crate) const WINDOW_INITIAL: usize = 8;
/// Most requests in flight.
pub const WINDOW_MAX: usize = 256;
/// Fewest requests in flight, however often a region says that it is overloaded.
const WINDOW_MIN: usize = 2;
/// One token, in the units of a budget.
const TOKEN: u64 = 1_000;
/// Most tokens: when a region dies, all requests in flight can be lost at the same moment, and each
/// may be retried.
const BUDGET_MAX: u64 = WINDOW_MAX as u64 * TOKEN;
/// What each new request adds: one retry per five requests in the long run.
const DEPOSIT: u64 = TOKEN / 5;
/// What each millisecond adds: ten retries a second, so that a client with few requests has some
/// too.
const DEPOSIT_PER_MS: u64 = 10 * TOKEN / 1_000;
/// Most attempts for one request; attempts that could not connect don't count.
pub(crate) const ATTEMPTS_MAX: u32 = 5;
/// How often the connection may break under one request. A request that crashes the process that
/// serves it must not do so in every other region.
pub(crate) const BROKEN_MAX: u32 = 2;
/// The longest pause that `Retry-After` can ask for, milliseconds.
const PAUSE_MAX_MS: u64 = 2_000;
/// The shortest pause before an overloaded region is asked again, milliseconds.
const PAUSE_MIN_MS: u64 = 100;

/// How an attempt failed, before any part of an answer was passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptFailure {
    /// Nothing was sent: no region was reached.
    NotSent,
    /// It was sent, in part or as a whole, and the connection broke before an answer began.
    Broken,
    /// Answered with 503 and `Retry-After`: the region did not start on it.
    Unavailable {
        /// The requested pause, milliseconds.
        retry_after_ms: u64,
    },
}

/// A request that may be retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retryable {
    /// Whether it can be repeated without harm ([`is_idempotent`]).
    pub is_idempotent: bool,
    /// Whether its whole body is kept, so that it can be sent again.
    pub is_buffered: bool,
    /// How often it was sent, including the failed attempt.
    pub attempts: u32,
    /// How often the connection broke under it, including the failed attempt.
    pub broken: u32,
}

/// Why a request is not retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum GiveUp {
    /// It may have been carried out, and it is not safe to repeat.
    NotIdempotent,
    /// Its body is too large to keep.
    #[strum(serialize = "body_too_large")]
    NotBuffered,
    /// The connection broke under it [`BROKEN_MAX`] times.
    Broken,
    /// It was sent [`ATTEMPTS_MAX`] times.
    Attempts,
    /// All requests together have caused enough retries.
    Budget,
}

impl GiveUp {
    /// For a metric's label.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// In words, to follow "it was not sent again: ".
    pub fn describe(self) -> &'static str {
        match self {
            Self::NotIdempotent => {
                "the region may have carried it out, and it is not safe to repeat"
            }
            Self::NotBuffered => "its body is too large to buffer for another attempt",
            Self::Broken => "the connection broke twice, perhaps because of this very request",
            Self::Attempts => "it was sent five times",
            Self::Budget => {
                "the retry budget is used up (one retry for five requests, ten a second)"
            }
        }
    }
}

/// Whether a request can be repeated without harm: the methods that RFC 9110 §9.2.2 calls
/// idempotent, and inferences, which compute an answer and change nothing.
pub fn is_idempotent(method: &str, path: &str) -> bool {
    match method {
        "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE" => true,
        "POST" => {
            let is_inference = path.ends_with("/infer") || path.ends_with("/generate");
            (path.starts_with("/v2/models/") && is_inference) || path == "/v2/repository/index"
        }
        _ => false,
    }
}

/// Whether to retry a request, and after which pause, milliseconds. `random` spreads the pauses.
pub fn decide(
    failure: AttemptFailure,
    request: Retryable,
    budget: &mut RetryBudget,
    now_ms: u64,
    random: u32,
) -> Result<u64, GiveUp> {
    let pause_ms = match failure {
        // This costs no region anything, and the search for another region has its own pace.
        AttemptFailure::NotSent => return Ok(0),
        AttemptFailure::Broken if !request.is_idempotent => return Err(GiveUp::NotIdempotent),
        AttemptFailure::Broken => 0,
        AttemptFailure::Unavailable { retry_after_ms } => {
            let wanted_ms = retry_after_ms.clamp(PAUSE_MIN_MS, PAUSE_MAX_MS);
            // Three quarters to five quarters: requests that were refused together don't come back
            // together.
            wanted_ms - wanted_ms / 4 + u64::from(random) % (wanted_ms / 4 * 2 + 1)
        }
    };

    if !request.is_buffered {
        return Err(GiveUp::NotBuffered);
    }
    if failure == AttemptFailure::Broken && request.broken >= BROKEN_MAX {
        return Err(GiveUp::Broken);
    }
    if request.attempts >= ATTEMPTS_MAX {
        return Err(GiveUp::Attempts);
    }

    if budget.withdraw(now_ms) {
        Ok(pause_ms)
    } else {
        Err(GiveUp::Budget)
    }
}

/// The retries that all requests together may cause: a token bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryBudget {
    tokens: u64,
    filled_ms: u64,
}

impl RetryBudget {
    /// A full one.
    pub fn new(now_ms: u64) -> Self {
        Self {
            tokens: BUDGET_MAX,
            filled_ms: now_ms,
        }
    }

    /// A new request arrived; retries don't count.
    pub fn deposit(&mut self) {
        self.tokens = (self.tokens + DEPOSIT).min(BUDGET_MAX);
    }

    /// Retries left.
    pub fn left(&self) -> u64 {
        self.tokens / TOKEN
    }

    fn withdraw(&mut self, now_ms: u64) -> bool {
        let passed_ms = now_ms.saturating_sub(self.filled_ms);
        self.filled_ms = self.filled_ms.max(now_ms);
        self.tokens = self
            .tokens
            .saturating_add(passed_ms.saturating_mul(DEPOSIT_PER_MS))
            .min(BUDGET_MAX);

        let left = self.tokens.checked_sub(TOKEN);
        self.tokens = left.unwrap_or(self.tokens);
        left.is_some()
    }
}

/// How many requests may be in flight to regions.
///
/// Like TCP's slow start: each answer makes room for one more, so that the number doubles with each
/// round trip; "overloaded" halves it; and a lost region resets it to [`WINDOW_INITIAL`], since the
/// next region's capacity is unknown. One incident that hits many requests counts once: a request
/// reports with the epoch in which it began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseWindow {
    size: usize,
    epoch: u64,
}

impl Default for ReleaseWindow {
    fn default() -> Self {
        Self {
            size: WINDOW_INITIAL,
            epoch: 0,
        }
    }
}

impl ReleaseWindow {
    /// Most requests in flight.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The epoch with which a request that begins now reports.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// A region answered.
    pub fn answered(&mut self) {
        self.size = (self.size + 1).min(WINDOW_MAX);
    }

    /// A region said that it is overloaded.
    pub fn overloaded(&mut self, epoch: u64) {
        if epoch == self.epoch {
            self.shrink((self.size / 2).max(WINDOW_MIN));
        }
    }

    /// A region could not be reached, or was lost with the request in flight.
    pub fn lost(&mut self, epoch: u64) {
        if epoch == self.epoch {
            self.shrink(self.size.min(WINDOW_INITIAL));
        }
    }

    fn shrink(&mut self, size: usize) {
        self.size = size;
        self.epoch += 1;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
