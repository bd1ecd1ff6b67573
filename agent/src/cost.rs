//! Cost: counting use, keeping bills in the region's bucket, and answering questions about both.
//! The rules are in regionmesh-cost.

pub(crate) mod advice;
pub(crate) mod answers;
pub(crate) mod archive;
pub(crate) mod books;
pub(crate) mod budgets;
pub(crate) mod day;
pub(crate) mod handler;
pub(crate) mod import;
pub(crate) mod observe;
pub(crate) mod questions;
pub(crate) mod request_costs;
pub(crate) mod shift;
pub(crate) mod view;
