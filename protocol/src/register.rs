//! The register: one value that a majority of regions agrees on (CASPaxos, Rystsov 2018).

pub mod acceptor;
pub mod ballot;
mod bounds;
pub mod certificate;
pub mod members;
pub mod prevote;
pub mod subject;
