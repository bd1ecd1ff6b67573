//! What a store holds, and the requests that read and change it.

use super::{
    answer::{decode, error, escape, tagged, xml},
    clock::Moment,
    request::{Ask, BUCKET},
};
use axum::{
    body::{Body, Bytes},
    response::Response,
};
use http::{Method, StatusCode, header};
use std::collections::{BTreeMap, HashMap};

#[derive(Debug, Clone)]
pub(super) struct Object {
    bytes: Bytes,
    at: Moment,
    tag: String,
}

#[derive(Debug, Default)]
pub(super) struct Upload {
    key: String,
    parts: BTreeMap<u32, Bytes>,
}

#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) objects: BTreeMap<String, Object>,
    pub(super) uploads: HashMap<String, Upload>,
    written: u64,
    pub(super) requests: HashMap<String, u64>,
}

impl Contents {
    pub(super) fn store(&mut self, key: &str, bytes: Bytes) -> String {
        self.written += 1;
        let tag = format!("\"{:x}\"", self.written);
        self.objects.insert(
            key.to_owned(),
            Object {
                bytes,
                at: Moment::now(),
                tag: tag.clone(),
            },
        );

        tag
    }

    pub(super) fn put(&mut self, ask: &Ask, is_unconditional: bool) -> Response {
        let is_conditional = ask.headers.contains_key(header::IF_NONE_MATCH) && !is_unconditional;
        if is_conditional && self.objects.contains_key(&ask.key) {
            return error(StatusCode::PRECONDITION_FAILED, "PreconditionFailed");
        }

        let tag = self.store(&ask.key, ask.body.clone());
        tagged(StatusCode::OK, &tag)
    }

    pub(super) fn copy(&mut self, ask: &Ask) -> Response {
        let source = ask.headers["x-amz-copy-source"]
            .to_str()
            .map(decode)
            .unwrap_or_default();
        let source = source
            .trim_start_matches('/')
            .strip_prefix(&format!("{BUCKET}/"))
            .unwrap_or_default()
            .to_owned();
        let Some(bytes) = self.objects.get(&source).map(|object| object.bytes.clone()) else {
            return error(StatusCode::NOT_FOUND, "NoSuchKey");
        };
        let tag = self.store(&ask.key, bytes);

        xml(format!(
            "<CopyObjectResult><ETag>{}</ETag></CopyObjectResult>",
            escape(&tag)
        ))
    }

    pub(super) fn remove(&mut self, request: &str) -> Response {
        let keys = request
            .split("<Key>")
            .skip(1)
            .filter_map(|rest| rest.split("</Key>").next());
        let mut answer = String::new();

        for key in keys {
            self.objects
                .remove(&key.replace("&amp;", "&").replace("&apos;", "'"));
            answer += &format!("<Deleted><Key>{key}</Key></Deleted>");
        }

        xml(format!("<DeleteResult>{answer}</DeleteResult>"))
    }

    pub(super) fn begin(&mut self, ask: &Ask) -> Response {
        self.written += 1;
        let id = format!("upload-{}", self.written);
        self.uploads.insert(
            id.clone(),
            Upload {
                key: ask.key.clone(),
                parts: BTreeMap::new(),
            },
        );

        let key = escape(&ask.key);
        xml(format!(
            "<InitiateMultipartUploadResult><Bucket>{BUCKET}</Bucket><Key>{key}</Key>\
             <UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
        ))
    }

    pub(super) fn part(&mut self, ask: &Ask) -> Response {
        let number = ask.query("partNumber").parse().unwrap_or(0);
        match self.uploads.get_mut(&ask.query("uploadId")) {
            Some(upload) => {
                upload.parts.insert(number, ask.body.clone());
                tagged(StatusCode::OK, &format!("\"part-{number}\""))
            }
            None => error(StatusCode::NOT_FOUND, "NoSuchUpload"),
        }
    }

    pub(super) fn complete(&mut self, ask: &Ask) -> Response {
        let Some(upload) = self.uploads.remove(&ask.query("uploadId")) else {
            return error(StatusCode::NOT_FOUND, "NoSuchUpload");
        };
        let bytes: Vec<u8> = upload.parts.into_values().flatten().collect();
        let tag = self.store(&upload.key, bytes.into());

        xml(format!(
            "<CompleteMultipartUploadResult><ETag>{}</ETag></CompleteMultipartUploadResult>",
            escape(&tag)
        ))
    }
}

pub(super) fn get(contents: &Contents, ask: &Ask) -> Response {
    let Some(object) = contents.objects.get(&ask.key) else {
        return error(StatusCode::NOT_FOUND, "NoSuchKey");
    };
    let size = object.bytes.len();
    let range = ask.headers.get(header::RANGE).and_then(|range| {
        let (first, last) = range
            .to_str()
            .ok()?
            .strip_prefix("bytes=")?
            .split_once('-')?;
        let first: usize = first.parse().ok()?;

        Some((
            first,
            last.parse::<usize>()
                .map_or(size, |last| last + 1)
                .min(size),
        ))
    });

    let response = Response::builder()
        .header(header::ETAG, &object.tag)
        .header(header::LAST_MODIFIED, object.at.http());
    let response = match range {
        Some((first, end)) if first < end => response
            .status(StatusCode::PARTIAL_CONTENT)
            .header(
                header::CONTENT_RANGE,
                format!("bytes {first}-{}/{size}", end - 1),
            )
            .header(header::CONTENT_LENGTH, end - first)
            .body(Body::from(object.bytes.slice(first..end))),
        Some(_) => return error(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange"),
        None if ask.method == Method::HEAD => response
            .header(header::CONTENT_LENGTH, size)
            .body(Body::empty()),
        None => response
            .header(header::CONTENT_LENGTH, size)
            .body(Body::from(object.bytes.clone())),
    };

    response.expect("a response")
}

pub(super) fn list(contents: &Contents, prefix: &str) -> Response {
    let entry = |(key, object): (&String, &Object)| {
        format!(
            "<Contents><Key>{}</Key><LastModified>{}</LastModified><ETag>{}</ETag>\
             <Size>{}</Size></Contents>",
            escape(key),
            object.at.iso(),
            escape(&object.tag),
            object.bytes.len()
        )
    };

    let entries: String = contents
        .objects
        .iter()
        .filter(|(key, _)| key.starts_with(prefix))
        .map(entry)
        .collect();

    xml(format!(
        "<ListBucketResult><Name>{BUCKET}</Name><IsTruncated>false</IsTruncated>{entries}\
         </ListBucketResult>"
    ))
}
