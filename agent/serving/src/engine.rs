//! One loaded model: tract's graph, its inputs and outputs, and plans for the shapes that it meets.
//!
//! A plan is made for each combination of input shapes and kept while it is in use, because tract
//! optimises few real models with open dimensions: of nine models from PyPI (scripts/golden-models)
//! six run with the shapes filled in and only two of those without. Making a plan took 12–280 ms
//! for them, an inference 0.4–110 ms. `value_info`, the intermediate shapes that an exporter noted,
//! is ignored: it says nothing that tract doesn't find out, and its open dimensions contradict the
//! filled-in ones (silero_vad_op18_ifless).
//!
//! Nothing here is trusted: models come from users. tract may panic over a graph or an input, so
//! that every entry goes through [`guarded`].

use crate::{
    bounds::{self, TooLarge},
    budget::{Budget, Reservation},
    datatype::Datatype,
    tensors::TensorSpec,
    work::{Control, Stopped},
};
use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet},
    io::Cursor,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tract_onnx::{
    Onnx,
    pb::{
        GraphProto, ModelProto, TensorProto, ValueInfoProto, tensor_proto, tensor_shape_proto,
        type_proto,
    },
    prelude::*,
    tract_core::plan,
    tract_hir::ops::unimpl::UnimplementedOp,
};

/// Why a model or an inference failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EngineError {
    /// The file is not a model that the engine can run; it never will be.
    #[error("{0}")]
    Model(String),
    /// No plan for these shapes: the model's graph does not allow them, or tract can't handle it.
    #[error("the model can't be run with inputs of these shapes: {0}")]
    Shapes(String),
    /// A tensor would be larger than is allowed.
    #[error("{0}")]
    TooLarge(TooLarge),
    /// It was told to stop, or its time was up.
    #[error("{0}")]
    Stopped(Stopped),
    /// The inference failed.
    #[error("the inference failed: {0}")]
    Inference(String),
    /// The engine panicked.
    #[error("the inference engine panicked: {0}")]
    Panic(String),
}

impl EngineError {
    /// What stopped the engine if we did, else what `other` makes of the text.
    fn of(error: &TractError, other: fn(String) -> Self) -> Self {
        let cause = error.root_cause();
        match (
            cause.downcast_ref::<TooLarge>(),
            cause.downcast_ref::<Stopped>(),
        ) {
            (Some(too_large), _) => Self::TooLarge(too_large.clone()),
            (None, Some(stopped)) => Self::Stopped(*stopped),
            (None, None) => other(format!("{error:#}")),
        }
    }

    /// Whether we ended it ourselves, so that trying other inputs proves nothing.
    fn is_ours(&self) -> bool {
        matches!(self, Self::TooLarge(_) | Self::Stopped(_))
    }
}

/// Sizes that dimensions which a request may choose are tried with: small ones, and what images and
/// audio often need.
const OPEN_SIZES: [usize; 7] = [1, 2, 8, 32, 64, 224, 512];

/// Most elements of a made-up input.
const TRIAL_ELEMENTS_MAX: usize = 4 << 20;

/// What made-up inputs are filled with: floats, and whole numbers. Zeros first where they may be
/// indices, then what may not be divided by.
const FILLS: [(f32, i64); 3] = [(1.0, 0), (1.0, 1), (0.0, 0)];

/// Plans kept per model: services batch by a few sizes. Each may hold a repacked copy of the
/// weights.
const PLANS_MAX: usize = 4;

/// Memory that a model needs beside its graph, in sizes of its files: one plan.
const RESIDENT_FACTOR: u64 = 2;

/// A loaded model.
#[derive(Debug)]
pub(crate) struct Engine {
    graph: InferenceModel,
    inputs: Vec<TensorSpec>,
    outputs: Vec<TensorSpec>,
    size: u64,
    /// Largest tensor, bytes.
    tensor_limit: u64,
    budget: Arc<Budget>,
    plans: Mutex<Vec<Plan>>,
    /// Held while a plan is made, so that requests of one new shape make it once.
    making: Mutex<()>,
    _resident: Reservation,
}

type Shapes = Vec<Vec<usize>>;

/// A plan; the most recently used stands first.
#[derive(Debug)]
struct Plan {
    shapes: Shapes,
    runnable: Arc<Runnable>,
    /// None for one plan per model, which the model's own reservation covers.
    reservation: Option<Reservation>,
}

/// What a plan runs.
#[derive(Debug)]
struct Runnable {
    model: Arc<TypedRunnableModel>,
    /// See [`bounds::open_nodes`].
    is_open: Vec<bool>,
}

/// Runs `work` and turns a panic into an error.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, EngineError>) -> Result<T, EngineError> {
    // Unwind-safe: what a panic may leave half done are plans under a lock, which are only ever
    // pushed whole.
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|panic| Err(EngineError::Panic(panic_text(&*panic))))
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".into())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn onnx() -> Onnx {
    tract_onnx::onnx().with_ignore_value_info(true)
}

fn model_error(what: &str, error: impl std::fmt::Display) -> EngineError {
    EngineError::Model(format!("{what}: {error:#}"))
}

/// Reads the ONNX container.
pub(crate) fn decode(bytes: &[u8]) -> Result<ModelProto, EngineError> {
    guarded(|| {
        let decoded = onnx().proto_model_for_read(&mut Cursor::new(bytes));
        let proto = decoded.map_err(|error| model_error("not an ONNX file", error))?;
        if proto.graph.is_none() {
            return Err(EngineError::Model(
                "not an ONNX file: it has no graph".into(),
            ));
        }

        Ok(proto)
    })
}

fn external_tensors(graph: &mut GraphProto) -> impl Iterator<Item = &mut TensorProto> {
    let external = Some(tensor_proto::DataLocation::External as i32);
    graph
        .initializer
        .iter_mut()
        .filter(move |tensor| tensor.data_location == external)
}

fn external_field<'a>(tensor: &'a TensorProto, key: &str) -> Option<&'a str> {
    tensor
        .external_data
        .iter()
        .find(|entry| entry.key == key)
        .map(|entry| entry.value.as_str())
}

/// Files beside the model that hold weights (ONNX "external data"), as paths below the version's
/// folder.
pub(crate) fn external_files(proto: &mut ModelProto) -> BTreeSet<String> {
    let tensors = proto.graph.iter_mut().flat_map(external_tensors);
    tensors
        .filter_map(|tensor| external_field(tensor, "location").map(str::to_owned))
        .collect()
}

/// Puts external data into the model, so that nothing reads the file system later.
pub(crate) fn inline_external(
    proto: &mut ModelProto,
    files: &BTreeMap<String, bytes::Bytes>,
) -> Result<(), EngineError> {
    for tensor in proto.graph.iter_mut().flat_map(external_tensors) {
        let number = |key: &str| {
            external_field(tensor, key)
                .map(str::parse::<usize>)
                .transpose()
        };
        let file = external_field(tensor, "location").and_then(|location| files.get(location));
        let bytes = file
            .zip(number("offset").ok())
            .zip(number("length").ok())
            .and_then(|((file, offset), length)| {
                let offset = offset.unwrap_or(0);
                let end = length.map_or(Some(file.len()), |length| offset.checked_add(length))?;
                file.get(offset..end)
            });

        let Some(bytes) = bytes else {
            return Err(EngineError::Model(format!(
                "weight {:?} lies outside its external file",
                tensor.name
            )));
        };

        tensor.raw_data = bytes.to_vec();
        tensor.data_location = None;
        tensor.external_data.clear();
    }

    Ok(())
}

fn spec(value: &ValueInfoProto, kind: &str) -> Result<TensorSpec, EngineError> {
    let name = &value.name;
    let tensor = match value
        .r#type
        .as_ref()
        .and_then(|r#type| r#type.value.as_ref())
    {
        Some(type_proto::Value::TensorType(tensor)) => tensor,
        None => {
            return Err(EngineError::Model(format!(
                "{kind} {name:?} is not a tensor"
            )));
        }
    };

    let datatype = Datatype::from_onnx(tensor.elem_type).ok_or_else(|| {
        let number = tensor.elem_type;
        EngineError::Model(format!(
            "{kind} {name:?} has ONNX element type {number}, which can't be served"
        ))
    })?;

    let shape = match (&tensor.shape, kind) {
        (Some(shape), _) => shape.dim.iter().map(|dim| match dim.value {
            Some(tensor_shape_proto::dimension::Value::DimValue(length)) if length >= 0 => length,
            _ => -1,
        }),
        // An input of unknown rank would have to be checked by the model itself.
        (None, "input") => {
            return Err(EngineError::Model(format!(
                "input {name:?} has no declared rank"
            )));
        }
        (None, _) => {
            return Ok(TensorSpec {
                name: name.clone(),
                datatype,
                shape: vec![-1],
            });
        }
    };

    Ok(TensorSpec {
        name: name.clone(),
        datatype,
        shape: shape.collect(),
    })
}

impl Engine {
    /// Bytes to reserve for a model whose files have `size` bytes.
    pub(crate) fn resident_bytes(size: u64) -> u64 {
        size.saturating_mul(RESIDENT_FACTOR)
    }

    /// Builds a model. `size` is that of its files; `resident` covers [`Engine::resident_bytes`].
    /// `tensor_limit` bounds each tensor that it makes; a model whose own files are larger may make
    /// tensors of their size.
    pub(crate) fn build(
        proto: &ModelProto,
        size: u64,
        resident: Reservation,
        budget: Arc<Budget>,
        tensor_limit: u64,
    ) -> Result<Self, EngineError> {
        let tensor_limit = tensor_limit.max(size);
        guarded(|| {
            let graph = proto
                .graph
                .as_ref()
                .ok_or_else(|| EngineError::Model("the file has no graph".into()))?;

            bounds::check_attributes(graph, tensor_limit).map_err(EngineError::TooLarge)?;
            let constants: BTreeSet<&str> = graph
                .initializer
                .iter()
                .map(|tensor| tensor.name.as_str())
                .collect();
            let inputs = graph
                .input
                .iter()
                .filter(|input| !constants.contains(input.name.as_str()));
            let inputs: Vec<_> = inputs
                .map(|input| spec(input, "input"))
                .collect::<Result<_, _>>()?;

            let outputs: Vec<_> = graph
                .output
                .iter()
                .map(|output| spec(output, "output"))
                .collect::<Result<_, _>>()?;
            let parsed = onnx()
                .parse(proto, None)
                .map_err(|error| model_error("tract can't read the graph", error))?;

            check_graph(
                &parsed.model,
                &parsed.unresolved_inputs,
                &inputs,
                outputs.len(),
            )?;

            Ok(Self {
                graph: parsed.model,
                inputs,
                outputs,
                size,
                tensor_limit,
                budget,
                plans: Mutex::new(Vec::new()),
                making: Mutex::new(()),
                _resident: resident,
            })
        })
    }

    /// Whether requests choose more of its inputs' dimensions than the batch.
    pub(crate) fn is_open(&self) -> bool {
        self.inputs
            .iter()
            .any(|input| input.shape.iter().skip(1).any(|dim| *dim < 0))
    }

    /// The inputs, in the graph's order.
    pub(crate) fn inputs(&self) -> &[TensorSpec] {
        &self.inputs
    }

    /// The outputs, in the graph's order.
    pub(crate) fn outputs(&self) -> &[TensorSpec] {
        &self.outputs
    }

    /// One inference on made-up inputs; any that succeeds will do, since values and sizes may be
    /// refused for good reasons (an index, a window of audio). Answers why none did.
    ///
    /// Fails where the model can't be run at all: a tensor is too large, the time is up, or there
    /// is no plan though no dimension but the batch is open.
    pub(crate) fn try_out(&self, control: &Control) -> Result<Option<EngineError>, EngineError> {
        let is_open = self.is_open();
        if !is_open {
            let shapes = self
                .inputs
                .iter()
                .map(|input| with_open_as(&input.shape, 1))
                .collect();
            let planned = guarded(|| self.plan(shapes, control).map(drop));

            planned.map_err(|error| {
                if error.is_ours() {
                    error
                } else {
                    EngineError::Model(error.to_string())
                }
            })?;
        }

        let mut first = None;
        for size in if is_open {
            &OPEN_SIZES[..]
        } else {
            &OPEN_SIZES[..1]
        } {
            if first.is_some()
                && self
                    .inputs
                    .iter()
                    .any(|input| elements(&input.shape, *size) > TRIAL_ELEMENTS_MAX)
            {
                break;
            }

            match self.try_size(*size, control) {
                Ok(()) => {
                    first = None;
                    break;
                }
                // Later sizes are ours: too large, or too slow, as the first was not.
                Err(error) if error.is_ours() && first.is_some() => break,
                Err(error) if error.is_ours() => return Err(error),
                Err(error) => first = first.or(Some(error)),
            }
        }

        control.check().map_err(EngineError::Stopped)?;
        if is_open {
            // Sizes that we thought of are no sizes that users ask for.
            lock(&self.plans).clear();
        }

        Ok(first)
    }

    fn try_size(&self, size: usize, control: &Control) -> Result<(), EngineError> {
        let shapes: Shapes = self
            .inputs
            .iter()
            .map(|input| with_open_as(&input.shape, size))
            .collect();

        guarded(|| self.plan(shapes.clone(), control).map(drop))?;
        let mut first = None;
        for fill in FILLS {
            let inputs = self
                .inputs
                .iter()
                .zip(&shapes)
                .map(|(input, shape)| filled(input.datatype, shape, fill));
            let inputs = inputs.collect::<TractResult<Vec<_>>>();
            let inputs = inputs.map_err(|error| EngineError::of(&error, EngineError::Inference))?;

            match self.run(inputs, control) {
                Ok(_) => return Ok(()),
                Err(error) if error.is_ours() => return Err(error),
                Err(error) => first = first.or(Some(error)),
            }
        }

        first.map_or(Ok(()), Err)
    }

    /// Makes the plans that `other`, the version served until now, is using, so that a swap costs
    /// no request a plan.
    pub(crate) fn warm_like(&self, other: &Engine, control: &Control) {
        if self.inputs != other.inputs {
            return;
        }

        let in_use: Vec<Shapes> = lock(&other.plans)
            .iter()
            .map(|plan| plan.shapes.clone())
            .collect();

        // The most recently used last, to stand first again.
        for shapes in in_use.into_iter().rev() {
            if let Err(error) = guarded(|| self.plan(shapes, control).map(drop)) {
                tracing::debug!(%error, "no plan in advance for shapes that the version before \
                    had");
            }
        }
    }

    /// Shapes of the plans kept now, the most recently used first.
    #[cfg(test)]
    pub(crate) fn planned_shapes(&self) -> Vec<Shapes> {
        lock(&self.plans)
            .iter()
            .map(|plan| plan.shapes.clone())
            .collect()
    }

    /// Runs the model on inputs in the graph's order, whose types and ranks were checked. Blocks;
    /// may take long, and looks at `control` before each operator.
    pub(crate) fn run(
        &self,
        inputs: Vec<Tensor>,
        control: &Control,
    ) -> Result<Vec<Tensor>, EngineError> {
        guarded(|| {
            let shapes = inputs.iter().map(|input| input.shape().to_vec()).collect();
            let runnable = self.plan(shapes, control)?;
            let inputs = inputs.into_iter().map(IntoTValue::into_tvalue).collect();
            let outputs = self.run_plan(&runnable, inputs, control);
            let outputs =
                outputs.map_err(|error| EngineError::of(&error, EngineError::Inference))?;

            Ok(outputs.into_iter().map(TValue::into_tensor).collect())
        })
    }

    fn run_plan(
        &self,
        runnable: &Runnable,
        inputs: TVec<TValue>,
        control: &Control,
    ) -> TractResult<TVec<TValue>> {
        runnable.model.spawn()?.run_plan_with_eval(
            inputs,
            |context, state, node, inputs| -> TractResult<_> {
                control.check()?;
                if runnable.is_open.get(node.id) == Some(&true) {
                    bounds::check_inputs(node, &inputs, self.tensor_limit)?;
                }
                plan::eval(context, state, node, inputs)
            },
        )
    }

    /// A plan for these shapes: one that is kept, or a new one.
    fn plan(&self, shapes: Shapes, control: &Control) -> Result<Arc<Runnable>, EngineError> {
        if let Some(plan) = self.known_plan(&shapes) {
            return Ok(plan);
        }

        let _making = lock(&self.making);
        if let Some(plan) = self.known_plan(&shapes) {
            return Ok(plan);
        }
        control.check().map_err(EngineError::Stopped)?;

        let runnable = self.make_plan(&shapes, control);
        let runnable =
            Arc::new(runnable.map_err(|error| EngineError::of(&error, EngineError::Shapes))?);
        let mut plans = lock(&self.plans);
        let reservation = if plans.is_empty() {
            None
        } else if let Some(free) = (plans.len() < PLANS_MAX)
            .then(|| self.budget.reserve(self.size))
            .flatten()
        {
            Some(free)
        } else {
            plans.pop().and_then(|oldest| oldest.reservation)
        };

        plans.insert(
            0,
            Plan {
                shapes,
                runnable: runnable.clone(),
                reservation,
            },
        );

        Ok(runnable)
    }

    fn known_plan(&self, shapes: &Shapes) -> Option<Arc<Runnable>> {
        let mut plans = lock(&self.plans);
        let index = plans.iter().position(|plan| plan.shapes == *shapes)?;
        plans[..=index].rotate_right(1);
        Some(plans[0].runnable.clone())
    }

    fn make_plan(&self, shapes: &Shapes, control: &Control) -> TractResult<Runnable> {
        let mut graph = self.graph.clone();
        for (index, (input, shape)) in self.inputs.iter().zip(shapes).enumerate() {
            graph.set_input_fact(
                index,
                InferenceFact::dt_shape(input.datatype.tract(), shape.as_slice()),
            )?;
        }

        bounds::analyse(&mut graph, self.tensor_limit, control)?;
        let mut typed = graph.into_typed()?;
        bounds::check_typed(&typed, self.tensor_limit)?;
        control.check()?;
        typed.declutter()?;
        bounds::check_typed(&typed, self.tensor_limit)?;
        control.check()?;
        typed.optimize()?;
        bounds::check_typed(&typed, self.tensor_limit)?;

        let is_open = bounds::open_nodes(&typed);
        Ok(Runnable {
            model: typed.into_runnable()?,
            is_open,
        })
    }
}

fn with_open_as(shape: &[i64], size: usize) -> Vec<usize> {
    shape
        .iter()
        .map(|dim| usize::try_from(*dim).unwrap_or(size))
        .collect()
}

fn elements(shape: &[i64], open: usize) -> usize {
    with_open_as(shape, open)
        .into_iter()
        .fold(1, usize::saturating_mul)
}

fn filled(datatype: Datatype, shape: &[usize], (float, whole): (f32, i64)) -> TractResult<Tensor> {
    let kind = datatype.tract();
    match datatype {
        Datatype::Bytes => Ok(tract_ndarray::ArrayD::from_elem(shape, String::new()).into_tensor()),
        Datatype::Fp16 | Datatype::Fp32 | Datatype::Fp64 => tensor0(float)
            .cast_to_dt(kind)?
            .broadcast_scalar_to_shape(shape),
        _ => tensor0(whole)
            .cast_to_dt(kind)?
            .broadcast_scalar_to_shape(shape),
    }
}

/// What can be known before any plan: the same inputs as declared, and only operators that tract
/// has.
fn check_graph(
    graph: &InferenceModel,
    unresolved: &[String],
    inputs: &[TensorSpec],
    outputs: usize,
) -> Result<(), EngineError> {
    if !unresolved.is_empty() {
        return Err(EngineError::Model(format!(
            "the graph uses tensors that nothing makes: {unresolved:?}"
        )));
    }

    let missing = graph
        .nodes()
        .iter()
        .filter(|node| node.op_is::<UnimplementedOp>());
    let missing: BTreeSet<String> = missing.map(|node| node.op().name().into_owned()).collect();

    if !missing.is_empty() {
        return Err(EngineError::Model(format!(
            "the graph has operators that tract lacks: {missing:?}"
        )));
    }

    let found = graph
        .input_outlets()
        .map_err(|error| model_error("tract can't read the graph", error))?;
    let found: Vec<&str> = found
        .iter()
        .map(|outlet| graph.node(outlet.node).name.as_str())
        .collect();
    let output_count = graph.output_outlets().map_or(0, <[_]>::len);

    if !found.iter().eq(&inputs
        .iter()
        .map(|input| input.name.as_str())
        .collect::<Vec<_>>())
        || output_count != outputs
    {
        return Err(EngineError::Model(format!(
            "tract finds other inputs or outputs than the file declares: {found:?}"
        )));
    }

    Ok(())
}
