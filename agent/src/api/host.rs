//! The host names that the API answers to: a defence against DNS rebinding.
//!
//! An attacker's web page may resolve its own name to an agent's address. To the browser, page and
//! API then have one origin, and the page may read the API's answers. But the request still names
//! the page's host, so every route refuses unknown host names with 421 (RFC 9110 §15.5.20). Any IP
//! address is accepted: a page whose origin is an agent's address was not served by an attacker.

#[cfg(test)]
mod tests;

use super::{reply::ApiError, route::Route};
use crate::config::Config;
use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, Uri, Version, header, uri::Authority};
use regionmesh_runtime::logging::Throttle;
use std::{
    collections::BTreeSet,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

/// Longest name that a refusal quotes, characters.
const QUOTED_MAX: usize = 80;

/// The names of this agent's API.
#[derive(Debug)]
pub(crate) struct Hosts {
    names: BTreeSet<String>,
    /// Each starts with a dot.
    suffixes: Vec<String>,
}

impl Hosts {
    /// `localhost`, every host that the configuration names, the zone's names, and `api.hosts`.
    pub(crate) fn of(config: &Config) -> Self {
        let mut hosts = Self {
            names: BTreeSet::new(),
            suffixes: Vec::new(),
        };

        hosts.add("localhost");
        for region in &config.regions {
            hosts.add(host_of(&region.endpoint));
            if let Some(host) = region
                .serving_url
                .parse::<Uri>()
                .ok()
                .as_ref()
                .and_then(Uri::host)
            {
                hosts.add(host);
            }

            if let Some(route53) = &config.dns.route53 {
                hosts.add(&route53.agent_host(&region.name, &region.endpoint));
            }
        }

        config
            .local_peers
            .iter()
            .for_each(|peer| hosts.add(host_of(peer)));

        config
            .dns
            .name_servers
            .iter()
            .for_each(|server| hosts.add(server));

        // Names in the zone resolve only to addresses of this mesh.
        hosts.add(&config.dns.zone);
        hosts.add(&format!(".{}", config.dns.zone));
        config.api.hosts.iter().for_each(|host| hosts.add(host));
        hosts
    }

    fn add(&mut self, host: &str) {
        let host = normal(host);
        if host.starts_with('.') {
            self.suffixes.push(host);
        } else if !host.is_empty() {
            self.names.insert(host);
        }
    }

    fn admit(&self, host: &str) -> bool {
        let host = normal(host);
        let bare = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(&host);

        bare.parse::<IpAddr>().is_ok()
            || self.names.contains(&host)
            || self
                .suffixes
                .iter()
                .any(|suffix| host.ends_with(suffix.as_str()) && host.len() > suffix.len())
    }

    /// Whether a request is for this agent: by its target (absolute form, `:authority` of HTTP/2)
    /// and its Host header.
    fn check(&self, version: Version, target: &Uri, headers: &HeaderMap) -> Result<(), ApiError> {
        let mut named = headers.get_all(header::HOST).iter();
        let header = named.next();
        if named.next().is_some() {
            return Err(ApiError::new(
                StatusCode::BAD_REQUEST,
                "the request has several Host headers",
                "send one",
            ));
        }

        let authority = target.authority();
        if let Some(authority) = authority {
            self.check_name(authority.as_str())?;
        }

        match header {
            Some(value) => self.check_name(value.to_str().unwrap_or_default()),
            // HTTP/1.0 has no Host header, and no browser speaks it.
            None if authority.is_some() || version < Version::HTTP_11 => Ok(()),
            None => {
                let hint = "send the name of the host in the header Host (RFC 9112 §3.2)";
                Err(ApiError::new(
                    StatusCode::BAD_REQUEST,
                    "the request has no Host header",
                    hint,
                ))
            }
        }
    }

    fn check_name(&self, name: &str) -> Result<(), ApiError> {
        let quoted = || name.chars().take(QUOTED_MAX).collect::<String>();
        let malformed = || {
            let error = format!("{:?} is not a host and port", quoted());
            ApiError::new(
                StatusCode::BAD_REQUEST,
                error,
                "send the header Host: NAME or NAME:PORT",
            )
        };

        let authority: Authority = name.parse().map_err(|_| malformed())?;
        let port = name.strip_prefix(authority.host()).ok_or_else(malformed)?;
        let is_port = port.is_empty()
            || port
                .strip_prefix(':')
                .is_some_and(|port| port.parse::<u16>().is_ok());

        if authority.host().is_empty() || !is_port {
            return Err(malformed());
        }
        if self.admit(authority.host()) {
            return Ok(());
        }

        let error = format!("{:?} is not a name of this agent's API", quoted());
        let hint =
            "ask it by its address, or add the name to api.hosts in the agent's configuration";

        Err(ApiError::new(StatusCode::MISDIRECTED_REQUEST, error, hint))
    }
}

/// Lower case, without the final dot: neither distinguishes host names.
fn normal(host: &str) -> String {
    host.trim_end_matches('.').to_ascii_lowercase()
}

fn host_of(host_port: &str) -> &str {
    host_port
        .rsplit_once(':')
        .map_or(host_port, |(host, _)| host)
}

/// What [`guard`] needs.
#[derive(Clone)]
pub(crate) struct HostGuard {
    pub(crate) hosts: Arc<Hosts>,
    pub(crate) routes: &'static [Route],
}

/// Refuses a request for another host.
pub(crate) async fn guard(
    State(HostGuard { hosts, routes }): State<HostGuard>,
    request: Request,
    next: Next,
) -> Response {
    static REFUSED: Throttle = Throttle::new(Duration::from_secs(60));

    let Err(error) = hosts.check(request.version(), request.uri(), request.headers()) else {
        return next.run(request).await;
    };
    if is_unauthorized(&request, routes) {
        return next.run(request).await;
    }
    if let Some(left_out) = REFUSED.admit(Instant::now()) {
        tracing::warn!(
            %error,
            left_out,
            "refused a request because of its Host header; see api.hosts"
        );
    }

    error.into_response()
}

/// Whether it asks for a change without a token: 401 whatever the host, because authentication
/// comes first.
fn is_unauthorized(request: &Request, routes: &[Route]) -> bool {
    let path = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("", MatchedPath::as_str);
    let method = request.method().as_str();
    let is_change =
        |route: &&Route| route.path == path && route.method.eq_ignore_ascii_case(method);

    !request.headers().contains_key(header::AUTHORIZATION)
        && routes
            .iter()
            .find(is_change)
            .is_some_and(|route| route.needs_token)
}
