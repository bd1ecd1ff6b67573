//! The envelope of calls between actors of two agents.
//!
//! ractor_cluster drops a message that it can't decode, and the caller would wait until its
//! time-out. So decoding never fails: garbage becomes [`Wire::Bad`], which the receiver answers.
//! Each call names its caller ([`super::caller`]).

use super::caller::caller_of;
use ractor::{
    BytesConvertable, Message, RpcReplyPort,
    message::{BoxedDowncastErr, SerializedMessage},
};
use regionmesh_protocol::{
    codec,
    identity::AgentId,
    wire::{PeerReply, PeerRequest},
};
use serde::{Serialize, de::DeserializeOwned};

/// Scope of the process group of peer actors: carries the protocol's version, since remote
/// references have no types.
pub(crate) const SCOPE: &str = "regionmesh/1";
/// Name of the group.
pub(crate) const GROUP: &str = "peer";
/// Names the one kind of message on the wire.
const CALL: &str = "Call";

/// A decoded message: a value, or why it could not be decoded.
#[derive(Debug)]
pub(crate) enum Wire<T> {
    Ok(T),
    /// Undecodable bytes, and why.
    Bad(String),
}

impl<T: Serialize + DeserializeOwned + Send + 'static> BytesConvertable for Wire<T> {
    fn into_bytes(self) -> Vec<u8> {
        match self {
            // An oversized value is sent as no bytes, which the receiver decodes as bad.
            Wire::Ok(value) => codec::encode(&value).unwrap_or_default(),
            Wire::Bad(_) => Vec::new(),
        }
    }

    fn from_bytes(bytes: Vec<u8>) -> Self {
        codec::decode(&bytes).map_or_else(|error| Wire::Bad(error.to_string()), Wire::Ok)
    }
}

/// A call to the peer actor.
pub struct PeerMessage {
    /// The caller, from the certificate of its connection; none in a call that was not sent yet.
    pub(crate) caller: Option<AgentId>,
    pub(crate) request: Wire<PeerRequest>,
    pub(crate) reply: RpcReplyPort<Wire<PeerReply>>,
}

impl PeerMessage {
    /// A call of ours. The receiver takes the caller from our certificate.
    pub(crate) fn new(request: PeerRequest, reply: RpcReplyPort<Wire<PeerReply>>) -> Self {
        Self {
            caller: None,
            request: Wire::Ok(request),
            reply,
        }
    }
}

impl Message for PeerMessage {
    fn serializable() -> bool {
        true
    }

    fn serialize(self) -> Result<SerializedMessage, BoxedDowncastErr> {
        let request = self.request.into_bytes();
        let length = u64::try_from(request.len()).map_err(|_| BoxedDowncastErr)?;
        let reply = bridge(self.reply, Wire::from_bytes);
        let args = [&length.to_be_bytes(), &request[..]].concat();

        Ok(SerializedMessage::Call {
            variant: CALL.into(),
            args,
            reply,
            metadata: None,
        })
    }

    fn deserialize(message: SerializedMessage) -> Result<Self, BoxedDowncastErr> {
        match message {
            SerializedMessage::Call {
                variant,
                args,
                reply,
                metadata,
            } if variant == CALL => {
                let (length, request) = args.split_first_chunk().ok_or(BoxedDowncastErr)?;
                let request = match usize::try_from(u64::from_be_bytes(*length)) {
                    Ok(length) if length == request.len() => Wire::from_bytes(request.to_vec()),
                    _ => Wire::Bad("its length does not match its header".into()),
                };
                let reply = bridge(reply, Wire::into_bytes);

                Ok(Self {
                    caller: caller_of(metadata),
                    request,
                    reply,
                })
            }
            _ => Err(BoxedDowncastErr),
        }
    }
}

/// A reply port that converts answers and passes them on.
fn bridge<T: Send + 'static, U: Send + 'static>(
    to: RpcReplyPort<U>,
    convert: impl FnOnce(T) -> U + Send + 'static,
) -> RpcReplyPort<T> {
    let (send, receive) = ractor::concurrency::oneshot();
    let timeout = to.get_timeout();
    tokio::spawn(async move {
        let answer = match timeout {
            Some(timeout) => tokio::time::timeout(timeout, receive).await.ok(),
            None => Some(receive.await),
        };

        if let Some(Ok(answer)) = answer {
            // The caller may no longer wait.
            let _ = to.send(convert(answer));
        }
    });

    match timeout {
        Some(timeout) => (send, timeout).into(),
        None => send.into(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use regionmesh_protocol::register::acceptor::AcceptorRequest;
    use std::time::Duration;

    #[test]
    fn a_request_round_trips_and_garbage_decodes_as_bad() {
        let request = PeerRequest::Acceptor(AcceptorRequest::Read);
        let bytes = Wire::Ok(request.clone()).into_bytes();
        assert!(
            matches!(Wire::<PeerRequest>::from_bytes(bytes), Wire::Ok(read) if read == request)
        );

        for garbage in [vec![], vec![255; 40], vec![0, 0, 0, 0]] {
            assert!(matches!(
                Wire::<PeerRequest>::from_bytes(garbage),
                Wire::Bad(_)
            ));
        }
    }

    #[tokio::test]
    async fn a_call_carries_its_caller_and_returns_the_answer() {
        let (send, answer) = ractor::concurrency::oneshot();
        let sent = PeerMessage::new(
            PeerRequest::Acceptor(AcceptorRequest::Read),
            (send, Duration::from_secs(5)).into(),
        );
        let SerializedMessage::Call {
            variant,
            args,
            reply,
            ..
        } = sent.serialize().unwrap()
        else {
            panic!("no call")
        };

        let metadata = Some(b"eu-west-1/node-0".to_vec());
        let received = PeerMessage::deserialize(SerializedMessage::Call {
            variant,
            args,
            reply,
            metadata,
        })
        .unwrap();

        assert_eq!(received.caller, "eu-west-1/node-0".parse().ok());
        assert!(matches!(
            received.request,
            Wire::Ok(PeerRequest::Acceptor(AcceptorRequest::Read))
        ));

        received
            .reply
            .send(Wire::Ok(PeerReply::Failed("no".into())))
            .unwrap();

        assert!(matches!(answer.await.unwrap(), Wire::Ok(PeerReply::Failed(why)) if why == "no"));
    }
}
