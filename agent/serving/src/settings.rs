//! The settings of the model server: `[serving]` of an agent's configuration.

use serde::{Deserialize, Serialize};

/// The embedded model server.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServingConfig {
    /// Whether the agent serves models itself.
    pub embedded: bool,
    /// Largest request body, bytes.
    pub body_limit: usize,
    /// Inferences of one model running at once; more wait. All models together run at most twice as
    /// many.
    pub parallel: usize,
    /// How long an inference waits for its turn before it is refused with 503, milliseconds; one
    /// that would wait longer is refused at once. 0: none waits.
    pub queue_timeout_ms: u64,
    /// Versions kept loaded beyond the default ones; 0: only default versions are served.
    pub extra_versions: usize,
    /// Memory for loaded models, bytes, estimated as twice the size of their files: graph and one
    /// optimised plan.
    pub memory_limit: u64,
    /// Largest tensor that a model may make, bytes; more where its own files are larger. A model
    /// that would make a larger one is refused before anything is allocated, since an allocation
    /// that fails ends the process.
    pub max_tensor_bytes: u64,
    /// How long loading a version and running its first inference may take once its files are read,
    /// milliseconds.
    pub load_timeout_ms: u64,
    /// How long an inference may take, waiting included, milliseconds; then it is answered with 503
    /// or 504.
    pub inference_timeout_ms: u64,
}

impl Default for ServingConfig {
    fn default() -> Self {
        Self {
            embedded: true,
            body_limit: 64 << 20,
            parallel: 4,
            queue_timeout_ms: 5_000,
            extra_versions: 4,
            memory_limit: 4 << 30,
            max_tensor_bytes: 1 << 30,
            load_timeout_ms: 60_000,
            inference_timeout_ms: 30_000,
        }
    }
}

impl ServingConfig {
    /// Every fault, as `place: what is wrong`; none where the settings can be used.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.parallel == 0 {
            faults.push("serving.parallel must be at least 1".into());
        }

        for (name, value) in [
            ("max_tensor_bytes", self.max_tensor_bytes),
            ("load_timeout_ms", self.load_timeout_ms),
            ("inference_timeout_ms", self.inference_timeout_ms),
        ] {
            if value == 0 {
                faults.push(format!("serving.{name} must be at least 1"));
            }
        }

        if self.queue_timeout_ms > 600_000 {
            let given = self.queue_timeout_ms;
            faults.push(format!(
                "serving.queue_timeout_ms: {given} is not within 0 to 600000"
            ));
        }

        if self.body_limit == 0 || self.memory_limit == 0 {
            faults.push("serving.body_limit and serving.memory_limit must be at least 1".into());
        }

        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_every_fault_is_reported() {
        assert_eq!(ServingConfig::default().faults(), [""; 0]);

        let faulty = ServingConfig {
            parallel: 0,
            queue_timeout_ms: 600_001,
            memory_limit: 0,
            max_tensor_bytes: 0,
            load_timeout_ms: 0,
            inference_timeout_ms: 0,
            ..ServingConfig::default()
        };
        assert_eq!(
            faulty.faults(),
            [
                "serving.parallel must be at least 1",
                "serving.max_tensor_bytes must be at least 1",
                "serving.load_timeout_ms must be at least 1",
                "serving.inference_timeout_ms must be at least 1",
                "serving.queue_timeout_ms: 600001 is not within 0 to 600000",
                "serving.body_limit and serving.memory_limit must be at least 1",
            ]
        );
    }
}
