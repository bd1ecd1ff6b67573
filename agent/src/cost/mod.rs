//! Money: what is counted here, what is kept of bills in the region's bucket, and what the actor
//! `cost` does with both. The rules are in regionmesh-cost; nothing here decides.

pub mod advice;
pub mod answers;
pub mod archive;
pub mod books;
pub mod day;
pub mod import;
pub mod observe;
pub mod questions;
pub mod shift;
pub mod view;
