//! The trace of a run: a hash of every event, and for one run at a time a readable timeline.

/// Bytes that are hashed together: BLAKE3 is slow on small pieces.
const BUFFER: usize = 8 << 10;

/// Hashes what happens.
#[derive(Debug)]
pub(crate) struct Trace {
    hasher: blake3::Hasher,
    buffer: Vec<u8>,
    events: u64,
    timeline: Option<Vec<(u64, String)>>,
}

impl Trace {
    pub(crate) fn new(with_timeline: bool) -> Self {
        Self {
            hasher: blake3::Hasher::new(),
            buffer: Vec::with_capacity(2 * BUFFER),
            events: 0,
            timeline: with_timeline.then(Vec::new),
        }
    }

    /// Adds an event: its time, its kind and two words about it.
    pub(crate) fn event(&mut self, at_ms: u64, kind: u8, first: u64, second: u64) {
        self.events += 1;
        self.buffer.extend_from_slice(&at_ms.to_le_bytes());
        self.buffer.push(kind);
        self.buffer.extend_from_slice(&first.to_le_bytes());
        self.buffer.extend_from_slice(&second.to_le_bytes());
        self.flush_full();
    }

    /// Adds the content of the last event.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        self.flush_full();
    }

    fn flush_full(&mut self) {
        if self.buffer.len() >= BUFFER {
            self.hasher.update(&self.buffer);
            self.buffer.clear();
        }
    }

    /// Adds a line for people, if somebody will read it.
    pub(crate) fn note(&mut self, at_ms: u64, line: impl FnOnce() -> String) {
        if let Some(timeline) = &mut self.timeline {
            timeline.push((at_ms, line()));
        }
    }

    pub(crate) fn events(&self) -> u64 {
        self.events
    }

    /// The hash of the run so far.
    pub(crate) fn hash(&self) -> blake3::Hash {
        let mut hasher = self.hasher.clone();
        hasher.update(&self.buffer);
        hasher.finalize()
    }

    pub(crate) fn take_timeline(&mut self) -> Vec<(u64, String)> {
        self.timeline.take().unwrap_or_default()
    }
}
