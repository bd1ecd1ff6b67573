//! What a proxy in front of several regions may send again, how often, and how many requests it
//! lets go at once.
//!
//! Three rules, each pure. [`decide`]: whether one request is sent again after an attempt failed.
//! [`RetryBudget`]: how many retries all requests together may cause, so that retries never
//! multiply an overload. [`ReleaseWindow`]: how many requests may be under way to a region at once,
//! so that requests that were held while no region answered do not all arrive in the same
//! millisecond.

/// Requests under way at once when a region was just found: what a region with four parallel
/// inferences starts on.
pub const WINDOW_INITIAL: usize = 8;
/// Requests under way at once, at most.
pub const WINDOW_MAX: usize = 256;
/// Requests under way at once, at least, however often a region says that it is overloaded.
const WINDOW_MIN: usize = 2;
/// One token, in the unit that a budget counts in.
const TOKEN: u64 = 1_000;
/// Tokens at most. All requests under way can be lost in one moment, when a region dies, and each
/// may be sent again.
const BUDGET_MAX: u64 = WINDOW_MAX as u64 * TOKEN;
/// What each new request adds: one retry for five requests, in the long run.
const DEPOSIT: u64 = TOKEN / 5;
/// What each millisecond adds: ten retries a second, so that a client with few requests has some,
/// too.
const DEPOSIT_PER_MS: u64 = 10 * TOKEN / 1_000;
/// Times that one request is sent at most; attempts that could not even connect don't count.
pub const ATTEMPTS_MAX: u32 = 5;
/// Times that the connection may break under one request. A request that breaks the process that
/// serves it must not go on to do the same to every other region.
pub const BROKEN_MAX: u32 = 2;
/// The longest pause that a region's `Retry-After` asks for and gets, milliseconds.
const PAUSE_MAX_MS: u64 = 2_000;
/// The shortest pause before a region that said "not now" is asked again, milliseconds.
const PAUSE_MIN_MS: u64 = 100;

/// How an attempt failed, before any of an answer was passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptFailure {
    /// Nothing was sent: no region was reached.
    NotSent,
    /// It was sent, in part or whole, and the connection broke before an answer began.
    Broken,
    /// Answered with 503 and `Retry-After` (milliseconds): the region did not begin with it.
    Unavailable {
        /// When the region wants to be asked again.
        retry_after_ms: u64,
    },
}

/// What is known of a request that may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retryable {
    /// Whether doing it twice is the same as once ([`is_idempotent`]).
    pub is_idempotent: bool,
    /// Whether its whole body is held, so that it can be sent again.
    pub is_held: bool,
    /// How often it was sent, the failed attempt included.
    pub attempts: u32,
    /// How often the connection broke under it, the failed attempt included.
    pub broken: u32,
}

/// Why a request is not sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GiveUp {
    /// It may have been done, and doing it twice may not be the same as once.
    NotIdempotent,
    /// Its body is too large to be held.
    NotHeld,
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
        match self {
            Self::NotIdempotent => "not_idempotent",
            Self::NotHeld => "body_too_large",
            Self::Broken => "broken",
            Self::Attempts => "attempts",
            Self::Budget => "budget",
        }
    }

    /// For people, after "it was not sent again: ".
    pub fn in_words(self) -> &'static str {
        match self {
            Self::NotIdempotent => {
                "the region may have carried it out, and it is not safe to repeat"
            }
            Self::NotHeld => "its body is too large to be kept for another attempt",
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

/// Whether a request is sent again, and after which pause, milliseconds. `random` spreads the
/// pauses.
pub fn decide(
    failure: AttemptFailure,
    request: Retryable,
    budget: &mut RetryBudget,
    now_ms: u64,
    random: u32,
) -> Result<u64, GiveUp> {
    let pause_ms = match failure {
        // Costs no region anything, and the search for another has a pace of its own.
        AttemptFailure::NotSent => return Ok(0),
        AttemptFailure::Broken if !request.is_idempotent => return Err(GiveUp::NotIdempotent),
        AttemptFailure::Broken => 0,
        AttemptFailure::Unavailable { retry_after_ms } => {
            let wanted_ms = retry_after_ms.clamp(PAUSE_MIN_MS, PAUSE_MAX_MS);
            // Three quarters to five quarters: those that were refused together do not come back
            // together.
            wanted_ms - wanted_ms / 4 + u64::from(random) % (wanted_ms / 4 * 2 + 1)
        }
    };

    if !request.is_held {
        return Err(GiveUp::NotHeld);
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

    /// A new request came in; retries don't count.
    pub fn deposit(&mut self) {
        self.tokens = (self.tokens + DEPOSIT).min(BUDGET_MAX);
    }

    /// Retries that are left.
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

/// How many requests may be under way to regions at once.
///
/// As TCP's slow start: each answer makes room for one more, so that the number doubles with each
/// round; "overloaded" halves it; and a region that is lost sets it back to [`WINDOW_INITIAL`],
/// since of the next one nothing is known. What one moment tells many requests counts once: a
/// request reports with the epoch in which it began.
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
    /// Requests under way at most.
    pub fn size(&self) -> usize {
        self.size
    }

    /// What a request that begins now reports with.
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

    /// A region could not be reached, or was lost with the request under way.
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
