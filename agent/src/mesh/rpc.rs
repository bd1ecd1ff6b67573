//! The envelope of calls between actors of two agents.
//!
//! ractor_cluster drops a message that it can't decode, and the caller would wait for its whole time-out. So decoding is
//! total: garbage becomes [`Wire::Bad`], which the receiver answers.

use ractor::{BytesConvertable, RpcReplyPort};
use ractor_cluster::RactorClusterMessage;
use regionmesh_protocol::{
    codec,
    wire::{PeerReply, PeerRequest},
};
use serde::{Serialize, de::DeserializeOwned};

/// Scope of the process group of peer actors: carries the protocol's version, since remote references have no types.
pub const SCOPE: &str = "regionmesh/1";
/// Name of the group.
pub const GROUP: &str = "peer";

/// What crosses the network: a value, or why there is none.
#[derive(Debug)]
pub enum Wire<T> {
    /// A value.
    Ok(T),
    /// Bytes that are no value, and why.
    Bad(String),
}

impl<T: Serialize + DeserializeOwned + Send + 'static> BytesConvertable for Wire<T> {
    fn into_bytes(self) -> Vec<u8> {
        match self {
            // A value that does not fit travels as no bytes, which the other side reads as bad.
            Wire::Ok(value) => codec::encode(&value).unwrap_or_default(),
            Wire::Bad(_) => Vec::new(),
        }
    }

    fn from_bytes(bytes: Vec<u8>) -> Self {
        codec::decode(&bytes).map_or_else(|error| Wire::Bad(error.to_string()), Wire::Ok)
    }
}

/// A call with an answer.
#[derive(RactorClusterMessage)]
pub enum Rpc<Q, R>
where
    Q: Serialize + DeserializeOwned + Send + 'static,
    R: Serialize + DeserializeOwned + Send + 'static,
{
    /// Ask.
    #[rpc]
    Call(Wire<Q>, RpcReplyPort<Wire<R>>),
}

/// What the peer actor takes.
pub type PeerMessage = Rpc<PeerRequest, PeerReply>;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use regionmesh_protocol::register::AcceptorRequest;

    #[test]
    fn a_request_survives_the_wire_and_garbage_is_told() {
        let request = PeerRequest::Acceptor(AcceptorRequest::Read);
        let bytes = Wire::Ok(request.clone()).into_bytes();
        assert!(matches!(Wire::<PeerRequest>::from_bytes(bytes), Wire::Ok(read) if read == request));
        for garbage in [vec![], vec![255; 40], vec![0, 0, 0, 0]] {
            assert!(matches!(Wire::<PeerRequest>::from_bytes(garbage), Wire::Bad(_)));
        }
    }
}
