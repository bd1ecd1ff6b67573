//! A request, taken apart.

use axum::body::Bytes;
use http::{HeaderMap, Method};
use std::collections::HashMap;

/// The only bucket.
pub const BUCKET: &str = "models";

/// A request, taken apart.
pub(super) struct Ask {
    pub(super) method: Method,
    pub(super) key: String,
    pub(super) query: HashMap<String, String>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Ask {
    pub(super) fn kind(&self) -> &'static str {
        let has = |name: &str| self.query.contains_key(name);
        match self.method.as_str() {
            "GET" if has("list-type") => "LIST",
            "POST" if has("delete") => "REMOVE",
            "POST" if has("uploads") => "BEGIN",
            "POST" if has("uploadId") => "COMPLETE",
            "PUT" if has("uploadId") => "PART",
            "DELETE" if has("uploadId") => "ABORT",
            "PUT" if self.headers.contains_key("x-amz-copy-source") => "COPY",
            "PUT" => "PUT",
            "GET" => "GET",
            "HEAD" => "HEAD",
            "DELETE" => "DELETE",
            _ => "OTHER",
        }
    }

    pub(super) fn query(&self, name: &str) -> String {
        self.query.get(name).cloned().unwrap_or_default()
    }
}
