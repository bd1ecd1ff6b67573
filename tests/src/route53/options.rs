//! Options of a fake, and faults of single requests.

use super::listing::{CHECKS_PAGE_MAX, RECORDS_PAGE_MAX};
use std::time::Duration;

/// How a fake behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// Rate of the account; also its burst.
    pub requests_per_second: u32,
    /// How long the zone processes a change, during which it refuses others.
    pub processing: Duration,
    /// Time until a change is on the name servers.
    pub in_sync: Duration,
    /// Pause of the health checkers.
    pub check_every: Duration,
    /// Record sets in a page.
    pub records_page: usize,
    /// Health checks in a page.
    pub checks_page: usize,
    /// Answer a refused batch in the old form: with an element of its own.
    pub has_bare_batch_errors: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            // Most tests are not about the rate.
            requests_per_second: 1_000,
            processing: Duration::from_millis(20),
            in_sync: Duration::from_millis(200),
            check_every: Duration::from_millis(50),
            records_page: RECORDS_PAGE_MAX,
            checks_page: CHECKS_PAGE_MAX,
            has_bare_batch_errors: false,
        }
    }
}

/// What goes wrong with one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The request never arrives.
    LostRequest,
    /// The request is executed, but the answer never arrives.
    LostAnswer,
    /// No answer, and the request is executed this much later.
    Late(Duration),
    /// It is refused with `Throttling`.
    Throttled,
    /// It is refused with `PriorRequestNotComplete`.
    Prior,
    /// 500, and nothing is executed.
    Broken,
}

impl Fault {
    /// How long the fault holds a request back before it is taken in after all.
    pub(super) fn lateness(&self) -> Option<Duration> {
        match self {
            Self::Late(after) => Some(*after),
            _ => None,
        }
    }
}
