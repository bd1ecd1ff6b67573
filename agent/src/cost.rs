//! Cost: counting use, keeping bills in the region's bucket, and answering questions about both.
//! The rules are in regionmesh-cost.

pub(crate) mod advice;
pub mod answers;
pub(crate) mod archive;
pub(crate) mod books;
pub(crate) mod budgets;
pub mod day;
pub(crate) mod handler;
pub mod import;
pub(crate) mod observe;
pub mod questions;
pub(crate) mod request_costs;
pub(crate) mod shift;
pub(crate) mod view;
