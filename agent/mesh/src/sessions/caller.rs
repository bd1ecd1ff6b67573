//! The caller of a call: the agent in the certificate of the connection that it arrived on.
//!
//! ractor_cluster passes a call to the local actor without its session. So the stream of each
//! session passes through [`Named`], which writes the caller into each call's `metadata`. That
//! field overrides the peer's value: protobuf uses the last occurrence of a field, and ours is
//! appended. A frame that is not exactly one message is refused, so that a peer can't make the
//! appended field part of its own data.

use regionmesh_protocol::identity::AgentId;
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, ReadBuf};

/// Largest appended field, bytes.
pub(crate) const NAMED_MAX: u64 = 256;

/// Length prefix of a frame, bytes; big-endian.
const HEADER: usize = 8;
/// Bytes per read: memory grows with the received bytes, not with the announced length.
const PIECE: usize = 16 << 10;
/// Protobuf's wire type of bytes, texts and messages.
const DELIMITED: u64 = 2;

/// The fields read from ractor_cluster's messages (its `meta.proto` and `node.proto`).
mod field {
    /// `NetworkMessage.node`
    pub(crate) const NODE: u64 = 2;
    /// `NodeMessage.cast`
    pub(crate) const CAST: u64 = 1;
    /// `NodeMessage.call`
    pub(crate) const CALL: u64 = 2;
    /// `Cast.metadata` and `Call.metadata`
    pub(crate) const METADATA: u64 = 6;
}

/// The caller that [`Named`] wrote into a call.
pub(crate) fn caller_of(metadata: Option<Vec<u8>>) -> Option<AgentId> {
    String::from_utf8(metadata?).ok()?.parse().ok()
}

/// The incoming stream of a session; adds the caller's name to each call.
pub(crate) struct Named<R> {
    inner: R,
    caller: String,
    limit: u64,
    /// The frame being received, header first.
    incoming: Vec<u8>,
    /// The frame being passed on, and how much of it already was.
    outgoing: (Vec<u8>, usize),
}

impl<R> Named<R> {
    /// The stream `inner` of `caller`, with frames of at most `limit` bytes.
    pub(crate) fn new(inner: R, caller: &AgentId, limit: u64) -> Self {
        Self {
            inner,
            caller: caller.to_string(),
            limit,
            incoming: Vec::new(),
            outgoing: (Vec::new(), 0),
        }
    }

    /// Bytes still missing from the frame being received.
    fn missing(&self) -> io::Result<usize> {
        let Some(header) = self.incoming.first_chunk::<HEADER>() else {
            return Ok(HEADER - self.incoming.len());
        };
        let length = u64::from_be_bytes(*header);

        if length > self.limit {
            return Err(malformed(&format!(
                "a frame of {length} bytes, {} are allowed",
                self.limit
            )));
        }

        // Below the limit, so it fits.
        Ok(HEADER + usize::try_from(length).unwrap_or(usize::MAX) - self.incoming.len())
    }

    fn forward(&mut self) -> io::Result<()> {
        let frame = self.incoming.get(HEADER..).unwrap_or_default();
        let name = naming(frame, &self.caller)?;
        let length = (frame.len() + name.len()) as u64;

        self.outgoing = ([&length.to_be_bytes(), frame, &name].concat(), 0);
        self.incoming.clear();
        self.incoming.shrink_to(PIECE);
        Ok(())
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Named<R> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            let (frame, at) = &mut this.outgoing;
            if *at < frame.len() {
                let count = buffer.remaining().min(frame.len() - *at);
                buffer.put_slice(&frame[*at..*at + count]);
                *at += count;
                return Poll::Ready(Ok(()));
            }

            let missing = this.missing()?;
            if missing == 0 {
                this.forward()?;
                continue;
            }

            let mut piece = [0; PIECE];
            let mut piece = ReadBuf::new(&mut piece[..missing.min(PIECE)]);
            ready!(Pin::new(&mut this.inner).poll_read(context, &mut piece))?;
            if piece.filled().is_empty() {
                // End of the stream; an incomplete frame is dropped.
                return Poll::Ready(Ok(()));
            }

            this.incoming.extend_from_slice(piece.filled());
        }
    }
}

/// The bytes to append to a frame so that its call names the caller; empty for other frames.
fn naming(frame: &[u8], caller: &str) -> io::Result<Vec<u8>> {
    let Some((field::NODE, message)) = only_field(frame)? else {
        return Ok(Vec::new());
    };
    match only_field(message)? {
        Some((kind @ (field::CAST | field::CALL), _)) => {
            let metadata = delimited(field::METADATA, caller.as_bytes());
            Ok(delimited(field::NODE, &delimited(kind, &metadata)))
        }
        _ => Ok(Vec::new()),
    }
}

/// The single field that fills a message: its number, and its content if it is delimited.
fn only_field(message: &[u8]) -> io::Result<Option<(u64, &[u8])>> {
    if message.is_empty() {
        return Ok(None);
    }

    let (key, rest) = varint(message)?;
    if key & 7 != DELIMITED {
        return Err(malformed("a session's frame holds no message"));
    }

    let (length, content) = varint(rest)?;
    if usize::try_from(length) != Ok(content.len()) {
        return Err(malformed("a session's frame is not exactly one message"));
    }

    Ok(Some((key >> 3, content)))
}

fn varint(bytes: &[u8]) -> io::Result<(u64, &[u8])> {
    let mut value = 0u64;
    for (index, byte) in bytes.iter().enumerate().take(10) {
        let part = u64::from(byte & 0x7f);
        // The tenth byte has room for one bit.
        if index == 9 && part > 1 {
            break;
        }
        value |= part << (7 * index);
        if byte & 0x80 == 0 {
            return Ok((value, &bytes[index + 1..]));
        }
    }

    Err(malformed("a number in a session's frame has no end"))
}

fn delimited(number: u64, content: &[u8]) -> Vec<u8> {
    let mut field = Vec::with_capacity(content.len() + 4);
    put_varint(&mut field, number << 3 | DELIMITED);
    put_varint(&mut field, content.len() as u64);
    field.extend_from_slice(content);
    field
}

fn put_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn malformed(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};
    use prost::Message;
    use tokio::io::AsyncReadExt;

    /// ractor_cluster's messages, as far as calls go.
    #[derive(Clone, PartialEq, Message)]
    struct Network {
        #[prost(message, optional, tag = "2")]
        node: Option<Node>,
    }
    #[derive(Clone, PartialEq, Message)]
    struct Node {
        #[prost(oneof = "Kind", tags = "1, 2, 3")]
        kind: Option<Kind>,
    }
    #[derive(Clone, PartialEq, prost::Oneof)]
    enum Kind {
        #[prost(message, tag = "1")]
        Cast(Call),
        #[prost(message, tag = "2")]
        Call(Call),
        #[prost(message, tag = "3")]
        Reply(Call),
    }
    #[derive(Clone, PartialEq, Message)]
    struct Call {
        #[prost(uint64, tag = "1")]
        to: u64,
        #[prost(bytes, tag = "2")]
        what: Vec<u8>,
        #[prost(bytes, optional, tag = "6")]
        metadata: Option<Vec<u8>>,
    }

    fn caller() -> AgentId {
        "eu-west-1/node-0".parse().unwrap()
    }

    async fn through(frames: &[Vec<u8>]) -> io::Result<Vec<Vec<u8>>> {
        let sent = frames
            .iter()
            .flat_map(|frame| [&(frame.len() as u64).to_be_bytes(), &frame[..]].concat());
        let sent: Vec<u8> = sent.collect();
        let mut named = Named::new(&sent[..], &caller(), 1 << 20);
        let mut received = Vec::new();

        for _ in frames {
            let length = named.read_u64().await?;
            let mut frame = vec![0; length as usize];
            named.read_exact(&mut frame).await?;
            received.push(frame);
        }

        Ok(received)
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(future)
    }

    proptest! {
        #[test]
        fn a_calls_caller_is_the_certificates_agent_whatever_the_peer_wrote(
            to: u64,
            what in vec(any::<u8>(), 0..300),
            claimed in proptest::option::of(vec(any::<u8>(), 0..80)),
            is_call: bool,
        ) {
            let call = Call {
                to,
                what,
                metadata: claimed,
            };
            let wrap = |call: Call| {
                if is_call {
                    Kind::Call(call)
                } else {
                    Kind::Cast(call)
                }
            };

            let of = |call: &Call| Network {
                node: Some(Node {
                    kind: Some(wrap(call.clone())),
                }),
            };
            let received = block_on(through(&[of(&call).encode_to_vec(), Vec::new()])).unwrap();
            let named = Call {
                metadata: Some(caller().to_string().into_bytes()),
                ..call
            };

            prop_assert_eq!(caller_of(named.metadata.clone()), Some(caller()));
            prop_assert_eq!(Network::decode(&received[0][..]).unwrap(), of(&named));
            prop_assert!(received[1].is_empty());
        }

        /// For any input, the result names the peer if it decodes as a call.
        #[test]
        fn no_input_can_forge_a_caller(
            mut frame in vec(any::<u8>(), 0..60),
            is_node: bool,
            length in 0..80u8,
        ) {
            if is_node {
                frame = [
                    &[2 << 3 | 2, length, 2 << 3 | 2, length.wrapping_sub(2)],
                    &frame[..],
                ]
                .concat();
            }

            if let Ok(received) = block_on(through(&[frame]))
                && let Ok(Network {
                    node:
                        Some(Node {
                            kind: Some(Kind::Call(call) | Kind::Cast(call)),
                        }),
                }) = Network::decode(&received[0][..])
            {
                prop_assert_eq!(caller_of(call.metadata), Some(caller()));
            }
        }
    }

    #[test]
    fn replies_and_other_messages_pass_unchanged() {
        let reply = Network {
            node: Some(Node {
                kind: Some(Kind::Reply(Call {
                    to: 1,
                    ..Call::default()
                })),
            }),
        };

        let frames = [
            reply.encode_to_vec(),
            delimited(1, b"an authentication"),
            delimited(3, b"a control message"),
        ];

        assert_eq!(block_on(through(&frames)).unwrap(), frames);
    }

    #[test]
    fn frames_with_two_messages_or_a_truncated_one_are_refused() {
        let call = Network {
            node: Some(Node {
                kind: Some(Kind::Call(Call {
                    to: 1,
                    ..Call::default()
                })),
            }),
        };
        let bytes = call.encode_to_vec();
        let twice = [&bytes[..], &bytes].concat();
        let short = bytes[..bytes.len() - 1].to_vec();

        for frame in [twice, short, vec![0x80; 12], vec![8, 1]] {
            assert_eq!(
                block_on(through(&[frame])).unwrap_err().kind(),
                io::ErrorKind::InvalidData
            );
        }

        let mut endless = Named::new(&[255u8; 9][..], &caller(), 1 << 20);
        assert_eq!(
            block_on(endless.read_u64()).unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
    }
}
