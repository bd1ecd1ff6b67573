//! The settings of a store.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where an object store is.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// `file:///folder`, `s3://bucket/prefix`, `gs://bucket/prefix` or `azure://container/prefix`.
    pub url: String,
    /// Options of the object_store crate, for example `aws_region`. Credentials come from the
    /// environment or the platform's workload identity, never from here.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

impl Settings {
    /// What is wrong with the URL, if anything. Whether the store exists is checked when it is
    /// opened.
    pub fn fault(&self) -> Option<String> {
        const SCHEMES: [&str; 4] = ["file", "s3", "gs", "azure"];

        let scheme = self.url.split_once("://").map(|(scheme, _)| scheme);
        if !scheme.is_some_and(|scheme| SCHEMES.contains(&scheme)) {
            return Some(format!(
                "{:?} is not {}://...",
                self.url,
                SCHEMES.join(":// or ")
            ));
        }

        let is_relative = self
            .url
            .strip_prefix("file://")
            .is_some_and(|path| !path.starts_with('/'));

        is_relative.then(|| format!("{:?}: the folder must be absolute", self.url))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unsupported_store_url_is_a_fault() {
        let fault = |url: &str| {
            let options = BTreeMap::new();
            let url = url.into();
            Settings { url, options }.fault()
        };

        for url in ["file:///models", "s3://b/p", "gs://b", "azure://c/p"] {
            assert_eq!(fault(url), None, "{url}");
        }

        assert_eq!(
            fault("ftp://a").as_deref(),
            Some("\"ftp://a\" is not file:// or s3:// or gs:// or azure://...")
        );
        assert_eq!(
            fault("file://models").as_deref(),
            Some("\"file://models\": the folder must be absolute")
        );
    }
}
