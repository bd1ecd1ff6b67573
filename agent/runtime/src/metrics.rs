//! The registry that every part registers its metrics in, their descriptions and their text form.
//!
//! Names follow Prometheus' conventions: prefix `regionmesh_`, base units (seconds, bytes),
//! counters end in `_total`, label names are `region`, `peer`, `reason`. A metric is defined next
//! to the code that it measures: each part has its own struct with `fn new(&Registry) ->
//! prometheus::Result<Self>`, which uses prometheus' `register_*_with_registry!` macros.
//! docs/reference/metrics.md is generated from the descriptions.

use parking_lot::Mutex;
use prometheus::{
    Encoder, TextEncoder,
    core::Collector,
    proto::{MetricFamily, MetricType},
};
use std::sync::Arc;

/// Metrics and their descriptions. Clones share their content.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    collectors: prometheus::Registry,
    descriptions: Arc<Mutex<Vec<Description>>>,
}

/// The description of a metric.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Description {
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// The names of its labels, in the order of the code.
    pub labels: Vec<String>,
    pub help: String,
}

impl Registry {
    /// An empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a collector. Fails if one of its metrics is already registered.
    pub fn register(&self, collector: Box<dyn Collector>) -> prometheus::Result<()> {
        let descriptions = describe(&*collector);
        self.collectors.register(collector)?;

        self.descriptions.lock().extend(descriptions);
        Ok(())
    }

    /// The current value of every series.
    pub fn gather(&self) -> Vec<MetricFamily> {
        self.collectors.gather()
    }

    /// The description of every registered metric, with or without series, by name.
    pub fn descriptions(&self) -> Vec<Description> {
        let mut descriptions = self.descriptions.lock().clone();

        descriptions.sort();
        descriptions
    }
}

/// A family without series still has its name, type and help; only the label names are elsewhere.
fn describe(collector: &dyn Collector) -> Vec<Description> {
    let labels = |name: &str| {
        let descriptors = collector.desc();
        let own = descriptors.iter().find(|own| own.fq_name == name);
        own.map(|own| own.variable_labels.clone())
            .unwrap_or_default()
    };

    collector
        .collect()
        .iter()
        .map(|family| Description {
            name: family.name().to_owned(),
            kind: match family.get_field_type() {
                MetricType::COUNTER => "counter",
                MetricType::GAUGE => "gauge",
                MetricType::HISTOGRAM => "histogram",
                MetricType::SUMMARY => "summary",
                MetricType::UNTYPED => "untyped",
            },
            labels: labels(family.name()),
            help: family.help().to_owned(),
        })
        .collect()
}

/// All metrics in the Prometheus text format 0.0.4.
pub fn render(registry: &Registry) -> Result<String, prometheus::Error> {
    let mut text = Vec::new();
    TextEncoder::new().encode(&registry.gather(), &mut text)?;
    String::from_utf8(text).map_err(|error| prometheus::Error::Msg(error.to_string()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
