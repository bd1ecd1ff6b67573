//! The embedded model server: ONNX models over the Open Inference Protocol V2, by tract.
//!
//! It serves the catalogue's models from a [`ModelSource`]; it never writes to either and is
//! independent of the mesh. `loader` loads each model's default version, `routes` answers,
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
