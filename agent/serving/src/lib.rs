//! The embedded model server: ONNX models over the Open Inference Protocol V2, by tract.
//!
//! It serves what the catalogue says and a [`ModelSource`] holds; it never writes to either, and
//! knows nothing of the mesh. `loader` keeps each model's default version loaded, `routes` answers,
//! `admission` bounds what is in progress, `engine` computes. Not meant for large or accelerated
//! models: a region may run Triton or KServe on the same files instead, and turn this off.

mod admission;
mod bounds;
mod budget;
mod choose;
mod datatype;
mod engine;
mod extras;
mod listener;
mod loader;
mod loading;
mod metrics;
mod outcomes;
mod progress;
mod quarantine;
mod refusal;
mod request;
mod routes;
mod sample;
mod server;
mod settings;
mod source;
mod tensors;
mod view;
mod work;

#[cfg(test)]
mod tests;

pub use choose::PRODUCTION;
pub use metrics::ServingMetrics;
pub use quarantine::Quarantine;
pub use refusal::Refusal;
pub use sample::{iris_onnx, iris_probabilities};
pub use server::{Server, ServingArguments, ServingError};
pub use settings::ServingConfig;
pub use source::{CatalogueSource, Directory, ModelSource, poll_catalogue};
pub use view::ServingProblem;
