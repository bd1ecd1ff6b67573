//! One loaded model: tract's graph, its inputs and outputs, and plans for the shapes in use.
//!
//! A plan is made for each combination of input shapes and cached while it is in use, because tract
//! optimises few real models with open dimensions: of nine models from PyPI (scripts/golden-models)
//! six run with the shapes filled in and only two of those without. Making a plan took 12–280 ms
//! for them, an inference 0.4–110 ms. `value_info`, the intermediate shapes recorded by an
//! exporter, is ignored: tract infers them, and their open dimensions contradict the filled-in ones
//! (silero_vad_op18_ifless).
//!
//! Models come from users and are not trusted. tract may panic over a graph or an input, so every
//! entry point goes through [`guarded`].

mod error;
mod onnx;
mod synthetic;

pub(crate) use error::{EngineError, guarded};
pub(crate) use onnx::{decode, external_files, inline_external};

use crate::{
    bounds,
    budget::{Budget, Reservation},
    tensors::TensorSpec,
    work::Control,
};
use onnx::{check_graph, model_error, onnx, spec};
use parking_lot::Mutex;
use std::{collections::BTreeSet, sync::Arc};
use tract_onnx::{pb::ModelProto, prelude::*, tract_core::plan};

/// Plans cached per model: services use few batch sizes. Each may hold a repacked copy of the
/// weights.
const PLANS_MAX: usize = 4;

/// Memory reserved for a model, as a multiple of the size of its files: its graph and one plan.
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
    /// Locked while a plan is made, so that concurrent requests of a new shape make it once.
    making: Mutex<()>,
    _resident: Reservation,
}

type Shapes = Vec<Vec<usize>>;

/// A plan; the most recently used is first in the list.
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

    /// Makes the plans that `other`, the version served until now, is using, so that no request
    /// waits for a plan after the swap.
    pub(crate) fn warm_like(&self, other: &Engine, control: &Control) {
        if self.inputs != other.inputs {
            return;
        }

        let in_use: Vec<Shapes> = other
            .plans
            .lock()
            .iter()
            .map(|plan| plan.shapes.clone())
            .collect();

        // The most recently used last, so that it is first again.
        for shapes in in_use.into_iter().rev() {
            if let Err(error) = guarded(|| self.plan(shapes, control).map(drop)) {
                tracing::debug!(%error, "no plan in advance for shapes that the version before \
                    had");
            }
        }
    }

    /// Shapes of the cached plans, the most recently used first.
    #[cfg(test)]
    pub(crate) fn planned_shapes(&self) -> Vec<Shapes> {
        self.plans
            .lock()
            .iter()
            .map(|plan| plan.shapes.clone())
            .collect()
    }

    /// Runs the model on inputs in the graph's order, whose types and ranks were checked. Blocks;
    /// may take long, and checks `control` before each operator.
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
                outputs.map_err(|error| EngineError::from_tract(&error, EngineError::Inference))?;

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

    /// A plan for these shapes: cached or new.
    fn plan(&self, shapes: Shapes, control: &Control) -> Result<Arc<Runnable>, EngineError> {
        if let Some(plan) = self.known_plan(&shapes) {
            return Ok(plan);
        }

        let _making = self.making.lock();
        if let Some(plan) = self.known_plan(&shapes) {
            return Ok(plan);
        }
        control.check().map_err(EngineError::Stopped)?;

        let runnable = self.make_plan(&shapes, control);
        let runnable = Arc::new(
            runnable.map_err(|error| EngineError::from_tract(&error, EngineError::Shapes))?,
        );
        let mut plans = self.plans.lock();
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
        let mut plans = self.plans.lock();
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
