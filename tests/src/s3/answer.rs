//! Parts of requests and answers as S3 writes them.

use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};

pub(super) fn tagged(status: StatusCode, tag: &str) -> Response {
    (status, [(header::ETAG, tag.to_owned())]).into_response()
}

pub(super) fn error(status: StatusCode, code: &str) -> Response {
    let body = format!(
        "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{code}</Message></Error>"
    );
    (status, [(header::CONTENT_TYPE, "application/xml")], body).into_response()
}

pub(super) fn decode(text: &str) -> String {
    // As a form's value, where a plus sign would be a space.
    let form = format!(
        "x={}",
        text.replace('+', "%2B")
            .replace('&', "%26")
            .replace('=', "%3D")
    );

    url::form_urlencoded::parse(form.as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

pub(super) fn xml(body: String) -> Response {
    (
        [(header::CONTENT_TYPE, "application/xml")],
        format!("<?xml version=\"1.0\"?>{body}"),
    )
        .into_response()
}

pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('"', "&quot;")
}
