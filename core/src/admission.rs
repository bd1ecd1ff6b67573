//! Admission and retries: connection limits, queue estimates, retry budgets.

pub mod places;
pub mod queue;
pub mod retry;
