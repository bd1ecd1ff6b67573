//! Requests and answers as they are passed on.

use super::{body::Outgoing, headers::strip_hop_by_hop};
use http::{Request, Response, Uri, header, request, response};
use std::net::SocketAddr;

/// The request as it is sent to a region.
pub(super) fn outgoing(
    head: &request::Parts,
    body: Outgoing,
    address: SocketAddr,
) -> Request<Outgoing> {
    let mut request = Request::new(body);
    *request.method_mut() = head.method.clone();

    // Clients that use the front door as a proxy send the whole URL; a region expects only the
    // path.
    *request.uri_mut() = head
        .uri
        .path_and_query()
        .cloned()
        .map_or_else(|| Uri::from_static("/"), Uri::from);

    request.headers_mut().clone_from(&head.headers);
    strip_hop_by_hop(request.headers_mut());

    // The front door has asked for the body itself.
    request.headers_mut().remove(header::EXPECT);
    if !request.headers().contains_key(header::HOST)
        && let Ok(host) = header::HeaderValue::from_str(&address.to_string())
    {
        request.headers_mut().insert(header::HOST, host);
    }

    request
}

/// The answer as it is sent to the client.
pub(super) fn answer(head: response::Parts, body: Outgoing) -> Response<Outgoing> {
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    response
}
