//! Errors of opening the front door.

use std::{io, net::SocketAddr};

/// Why the front door could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum FrontDoorError {
    /// No listen address could be bound.
    #[error("the front door can't listen on {address}: {}; free the port or choose another with \
        --front-door", regionmesh_runtime::describe::io_error(.source))]
    Bind {
        /// The last address tried.
        address: SocketAddr,
        source: io::Error,
    },
    /// No listen address was given.
    #[error("the front door has no address to listen on")]
    NoAddress,
    /// The service name is not a domain name, or the resolver could not be created.
    #[error("the front door can't resolve {service:?}: {why}")]
    Resolver {
        /// The service name.
        service: String,
        why: String,
    },
}
