//! A stream with a write timeout, which also reports arriving bytes.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Sleep,
};

/// A stream whose writes fail if the peer reads nothing for too long.
pub(super) struct WriteTimeout<S, F> {
    stream: S,
    write_timeout: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
    /// Called for each read that returned bytes.
    on_read: F,
}

impl<S, F: Fn()> WriteTimeout<S, F> {
    pub(super) fn new(stream: S, write_timeout: Duration, on_read: F) -> Self {
        Self {
            stream,
            write_timeout,
            waiting: None,
            on_read,
        }
    }

    /// Returns the stream's result, or an error if it has been pending for too long.
    fn watch<T>(
        &mut self,
        context: &mut Context<'_>,
        answer: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if answer.is_ready() {
            self.waiting = None;
            return answer;
        }

        let write_timeout = self.write_timeout;
        ready!(
            self.waiting
                .get_or_insert_with(|| Box::pin(tokio::time::sleep(write_timeout)))
                .as_mut()
                .poll(context)
        );

        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin, F: Fn() + Unpin> AsyncRead for WriteTimeout<S, F> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let answer = Pin::new(&mut this.stream).poll_read(context, buffer);

        if buffer.filled().len() > before {
            (this.on_read)();
        }
        answer
    }
}

impl<S: AsyncWrite + Unpin, F: Fn() + Unpin> AsyncWrite for WriteTimeout<S, F> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let answer = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.watch(context, answer)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let answer = Pin::new(&mut this.stream).poll_flush(context);
        this.watch(context, answer)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let answer = Pin::new(&mut this.stream).poll_write_vectored(context, bytes);
        this.watch(context, answer)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
