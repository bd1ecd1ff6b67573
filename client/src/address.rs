//! The address of an agent, as people write it.

use reqwest::Url;

/// The port of an agent's API where none is given.
const API_PORT: u16 = 9080;

/// An address is not an agent's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AddressError(String);

impl AddressError {
    pub(crate) fn new(why: String) -> Self {
        Self(why)
    }
}

/// Reads an agent's address: a URL, or a host with or without a port.
pub fn agent_url(text: &str) -> Result<Url, AddressError> {
    let text = text.trim();
    let wrong = |why: &str| {
        AddressError(format!(
            "{text:?} is not an agent's address, for example http://10.0.0.7:9080 ({why})"
        ))
    };
    let full = match text.parse::<std::net::Ipv6Addr>() {
        Ok(ip) => format!("http://[{ip}]"),
        Err(_) if text.contains("://") => text.to_owned(),
        Err(_) => format!("http://{text}"),
    };
    let mut url = Url::parse(&full).map_err(|error| wrong(&error.to_string()))?;

    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong(&format!(
            "{} is neither http nor https",
            url.scheme()
        )));
    }

    if !url.has_host() || url.path() != "/" || url.query().is_some() || !url.username().is_empty() {
        return Err(wrong("only a scheme, a host and a port are expected"));
    }

    // A URL without a port has that of its scheme; an address without one has ours.
    let authority = full
        .rsplit_once("://")
        .map_or("", |(_, authority)| authority)
        .trim_end_matches('/');
    let has_port = authority
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));

    if !text.contains("://") && !has_port {
        url.set_port(Some(API_PORT))
            .map_err(|()| wrong("it can't have a port"))?;
    }

    Ok(url)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_address_needs_neither_scheme_nor_port() {
        let read = |text| agent_url(text).unwrap().to_string();
        for (given, expected) in [
            ("10.0.0.7", "http://10.0.0.7:9080/"),
            ("10.0.0.7:80", "http://10.0.0.7/"),
            ("agent.example", "http://agent.example:9080/"),
            ("::1", "http://[::1]:9080/"),
            ("[::1]", "http://[::1]:9080/"),
            ("[::1]:7", "http://[::1]:7/"),
            ("http://10.0.0.7:9080", "http://10.0.0.7:9080/"),
            ("https://agent.example", "https://agent.example/"),
        ] {
            assert_eq!(read(given), expected, "{given}");
        }

        for wrong in ["ftp://x", "http://x/path", "a b", "http://"] {
            assert!(agent_url(wrong).is_err(), "{wrong}");
        }
    }
}
