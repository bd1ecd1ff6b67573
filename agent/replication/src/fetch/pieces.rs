//! The chunks of a fetch, in the staging files that they are assembled in.

use regionmesh_protocol::models::{digest::Digest, manifest::ManifestFile};
use regionmesh_runtime::models::ModelError;
use std::{collections::VecDeque, fs::File, io, os::unix::fs::FileExt, path::Path, sync::Arc};

/// Bytes of one request: enough that a long round trip does not matter, few enough to spread over
/// several agents.
const REQUEST_BYTES: u64 = 16 << 20;

/// A chunk to fetch: its file by index, and its place in that file.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub(super) file: usize,
    pub(super) offset: u64,
    pub(super) length: u32,
    pub(super) digest: Digest,
}

/// The buffer of a chunk that was written; none if its bytes were wrong.
pub(super) type Written = Result<Option<Vec<u8>>, ModelError>;

/// Opens a staging file to write to.
pub(super) fn open(path: &Path) -> io::Result<File> {
    File::options().write(true).open(path)
}

/// Groups chunks into requests of one file and about [`REQUEST_BYTES`] bytes each.
pub(super) fn requests(missing: Vec<Piece>) -> VecDeque<Vec<Piece>> {
    let mut requests: VecDeque<Vec<Piece>> = VecDeque::new();
    let mut size = 0;
    for piece in missing {
        let length = u64::from(piece.length);
        match requests.back_mut() {
            Some(last)
                if last.first().is_some_and(|first| first.file == piece.file)
                    && size + length <= REQUEST_BYTES =>
            {
                size += length;
                last.push(piece);
            }
            _ => {
                size = length;
                requests.push_back(vec![piece]);
            }
        }
    }

    requests
}

/// Creates the file at its final size and returns the chunks that it does not hold yet.
pub(super) fn scan(index: usize, file: &ManifestFile, path: &Path) -> io::Result<Vec<Piece>> {
    let staged = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    let is_new = staged.metadata()?.len() == 0;

    staged.set_len(file.size)?;
    let mut missing = Vec::new();
    let mut offset = 0;
    let mut bytes = Vec::new();

    for chunk in &file.chunks {
        let is_there = !is_new && {
            bytes.resize(chunk.length as usize, 0);
            staged.read_exact_at(&mut bytes, offset)?;
            Digest::of(&bytes) == chunk.digest
        };

        if !is_there {
            missing.push(Piece {
                file: index,
                offset,
                length: chunk.length,
                digest: chunk.digest,
            });
        }

        offset += u64::from(chunk.length);
    }

    Ok(missing)
}

/// Writes a chunk to its place and returns its buffer; none if the bytes are wrong.
pub(super) async fn put_chunk(
    staged: Arc<File>,
    path: &Path,
    piece: &Piece,
    bytes: Vec<u8>,
) -> Written {
    let piece = piece.clone();
    blocking(path, move || {
        if bytes.len() != piece.length as usize || Digest::of(&bytes) != piece.digest {
            return Ok(None);
        }
        staged
            .write_all_at(&bytes, piece.offset)
            .map(|()| Some(bytes))
    })
    .await
}

pub(super) async fn whole_digest(path: &Path) -> Result<Digest, ModelError> {
    let file = path.to_owned();
    blocking(path, move || {
        let mut hasher = blake3::Hasher::new();
        let mut file = File::open(&file)?;
        let mut block = vec![0; 4 << 20];

        loop {
            let read = io::Read::read(&mut file, &mut block)?;
            if read == 0 {
                return Ok(Digest(*hasher.finalize().as_bytes()));
            }
            hasher.update(&block[..read]);
        }
    })
    .await
}

pub(super) async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, ModelError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
        .map_err(|error| ModelError::io("assemble", path, error))
}
