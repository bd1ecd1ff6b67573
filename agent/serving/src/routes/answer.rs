//! Converts a JSON request to its JSON answer.

use crate::{
    engine::{Engine, EngineError},
    loading::Loaded,
    refusal::{Refusal, quoted},
    request::{InferRequest, RequestInput},
    tensors::{OutputTensor, TensorSpec, read_input},
    work::Control,
};
use http::StatusCode;
use serde::Serialize;
use std::collections::BTreeSet;
use tract_onnx::prelude::Tensor;

/// Most elements of an answer: each takes up to 25 bytes as JSON, which is made in memory.
const ANSWER_ELEMENTS_MAX: usize = 16 << 20;

pub(super) const PANICKED: &str = "the inference engine panicked";

pub(super) fn refuse(error: EngineError) -> Refusal {
    match error {
        // Which tensors a model makes depends on the request.
        EngineError::Shapes(_) | EngineError::TooLarge(_) => {
            Refusal::bad_request(error.to_string())
        }
        EngineError::Stopped(_) => Refusal::new(StatusCode::GATEWAY_TIMEOUT, error.to_string()),
        EngineError::Model(_) | EngineError::Inference(_) | EngineError::Panic(_) => {
            Refusal::internal(error.to_string())
        }
    }
}

/// "Inference Response JSON Object".
#[derive(Serialize)]
struct InferResponse<'a> {
    model_name: &'a str,
    model_version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    outputs: Vec<OutputTensor>,
}

/// Reads a request, runs the model, writes the answer. Blocks.
pub(super) fn answer(loaded: &Loaded, body: &[u8], control: &Control) -> Result<Vec<u8>, Refusal> {
    let request: InferRequest = serde_json::from_slice(body).map_err(|error| {
        Refusal::bad_request(format!("the body is not an inference request: {error}"))
    })?;
    let engine = &loaded.engine;
    let wanted = wanted_outputs(&request, engine.outputs())?;
    let id = request.id;
    let inputs = read_inputs(request.inputs, engine)?;
    let results = engine.run(inputs, control).map_err(refuse)?;
    let is_wanted = |spec: &TensorSpec| {
        wanted
            .as_ref()
            .is_none_or(|wanted| wanted.contains(&spec.name))
    };
    let answered = engine
        .outputs()
        .iter()
        .zip(&results)
        .filter(|(spec, _)| is_wanted(spec));
    let elements: usize = answered.map(|(_, tensor)| tensor.len()).sum();

    if elements > ANSWER_ELEMENTS_MAX {
        let most = format!("an answer in JSON may have {ANSWER_ELEMENTS_MAX}");
        return Err(Refusal::bad_request(format!(
            "the answer would have {elements} elements, {most}; request fewer elements"
        )));
    }

    let mut outputs = Vec::new();
    for (spec, tensor) in engine.outputs().iter().zip(results) {
        if is_wanted(spec) {
            let output = OutputTensor::new(spec, tensor);
            outputs.push(output.map_err(|error| {
                Refusal::internal(format!("output {:?}: {error:#}", spec.name))
            })?);
        }
    }

    let model_name = loaded.model.as_str();
    let model_version = loaded.version.as_str();
    serde_json::to_vec(&InferResponse {
        model_name,
        model_version,
        id,
        outputs,
    })
    .map_err(|error| Refusal::internal(format!("the answer can't be written: {error}")))
}

/// The tensors of a request, in the order of the model's inputs.
fn read_inputs(inputs: Vec<RequestInput>, engine: &Engine) -> Result<Vec<Tensor>, Refusal> {
    let names: Vec<&str> = engine
        .inputs()
        .iter()
        .map(|spec| spec.name.as_str())
        .collect();
    let mut given: Vec<_> = engine.inputs().iter().map(|_| None).collect();

    for input in inputs {
        let Some(index) = names.iter().position(|name| *name == input.name) else {
            let name = quoted(&input.name);
            return Err(Refusal::bad_request(format!(
                "input {name} is not one of the model's: {names:?}"
            )));
        };

        if given[index].is_some() {
            return Err(Refusal::bad_request(format!(
                "input {} is given twice",
                quoted(&input.name)
            )));
        }

        given[index] = Some(read_input(input, &engine.inputs()[index])?);
    }

    let missing: Vec<_> = names
        .iter()
        .zip(&given)
        .filter(|(_, given)| given.is_none())
        .map(|(name, _)| name)
        .collect();

    if !missing.is_empty() {
        return Err(Refusal::bad_request(format!(
            "inputs are missing: {missing:?}; the model expects {names:?}"
        )));
    }

    Ok(given.into_iter().flatten().collect())
}

/// The names that the request selects; none means all.
fn wanted_outputs(
    request: &InferRequest,
    specs: &[TensorSpec],
) -> Result<Option<BTreeSet<String>>, Refusal> {
    let Some(outputs) = request
        .outputs
        .as_ref()
        .filter(|outputs| !outputs.is_empty())
    else {
        return Ok(None);
    };
    let mut wanted = BTreeSet::new();

    for output in outputs {
        if !specs.iter().any(|spec| spec.name == output.name) {
            let names: Vec<_> = specs.iter().map(|spec| &spec.name).collect();
            let name = quoted(&output.name);
            return Err(Refusal::bad_request(format!(
                "output {name} is not one of the model's: {names:?}"
            )));
        }

        wanted.insert(output.name.clone());
    }

    Ok(Some(wanted))
}
