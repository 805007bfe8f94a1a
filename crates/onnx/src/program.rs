//! A graph made ready to run: names are numbers, constants are computed, and values are dropped after their last use.

use crate::fuse::Stage;
use crate::value::{Args, Context, MOST_ELEMENTS, Value};
use candle_core::Var;
use sconce_tensor_core::{Error, Mode, Result};
use std::collections::HashMap;

struct Step {
    stage: Stage,
    inputs: Vec<Option<usize>>,
    outputs: Vec<Option<usize>>,
    /// Values that no later step reads.
    free: Vec<usize>,
}

/// A graph that runs.
pub(crate) struct Program {
    slots: HashMap<String, usize>,
    /// What is known before a run.
    constants: Vec<Option<Value>>,
    weights: Vec<(usize, Var)>,
    steps: Vec<Step>,
    context: Context,
}

impl Program {
    /// Orders stages, and runs those that depend on constants alone.
    ///
    /// # Errors
    /// A value that nobody makes; an error of a constant's node.
    pub(crate) fn new(
        stages: Vec<Stage>,
        inputs: &[String],
        constants: HashMap<String, Value>,
        weights: Vec<(String, Var)>,
        context: Context,
    ) -> Result<Self> {
        let mut slots: HashMap<String, usize> = HashMap::new();
        let mut slot = |name: &str| {
            let next = slots.len();
            *slots.entry(name.to_owned()).or_insert(next)
        };
        for name in inputs {
            slot(name);
        }
        let weights: Vec<(usize, Var)> = weights.into_iter().map(|(n, v)| (slot(&n), v)).collect();
        let constants: Vec<(usize, Value)> = constants.into_iter().map(|(n, v)| (slot(&n), v)).collect();
        let mut known: Vec<bool> = vec![true; slots.len()];
        let mut slot = |name: &str| {
            let next = slots.len();
            *slots.entry(name.to_owned()).or_insert(next)
        };
        let mut steps = Vec::new();
        for stage in stages {
            let mut read = Vec::new();
            for name in &stage.inputs {
                let at = (!name.is_empty()).then(|| slot(name));
                if let Some(at) = at.filter(|at| known.get(*at) != Some(&true)) {
                    let _ = at;
                    let reason = format!(
                        "its input `{name}` is neither an input of the model, nor a constant, nor made by a node before it"
                    );
                    return Err(Error::value(stage.place, reason));
                }
                read.push(at);
            }
            let made: Vec<Option<usize>> = stage.outputs.iter().map(|n| (!n.is_empty()).then(|| slot(n))).collect();
            for at in made.iter().flatten() {
                known.resize(known.len().max(at + 1), false);
                known[*at] = true;
            }
            steps.push(Step { stage, inputs: read, outputs: made, free: Vec::new() });
        }
        let mut program = Self { constants: vec![None; slots.len()], slots, weights, steps: Vec::new(), context };
        for (at, v) in constants {
            program.constants[at] = Some(v);
        }
        let mut folded = 0;
        for step in steps {
            let fixed = !step.stage.random && step.inputs.iter().flatten().all(|i| program.constants[*i].is_some());
            if fixed {
                let mut values = std::mem::take(&mut program.constants);
                let done = program.step(&step, &mut values);
                program.constants = values;
                done?;
                let made = step.outputs.iter().flatten().filter_map(|o| program.constants[*o].as_ref());
                folded += made.map(|v| v.shape().iter().product::<usize>()).sum::<usize>();
                if folded > MOST_ELEMENTS {
                    return Err(Error::value(
                        &step.stage.place,
                        format!("the constants of the graph have more than {MOST_ELEMENTS} elements"),
                    ));
                }
            } else {
                program.steps.push(step);
            }
        }
        program.plan();
        Ok(program)
    }

    /// Finds after which step each value can be dropped.
    fn plan(&mut self) {
        let mut last: HashMap<usize, usize> = HashMap::new();
        for (i, s) in self.steps.iter().enumerate() {
            last.extend(s.inputs.iter().chain(&s.outputs).flatten().map(|v| (*v, i)));
        }
        for (v, i) in last {
            self.steps[i].free.push(v);
        }
    }

    /// The number of a value.
    pub(crate) fn slot(&self, name: &str) -> Option<usize> {
        self.slots.get(name).copied()
    }

    pub(crate) fn context(&self) -> &Context {
        &self.context
    }

    fn step(&self, step: &Step, values: &mut [Option<Value>]) -> Result<()> {
        let inputs: Vec<Option<Value>> = step.inputs.iter().map(|i| i.and_then(|i| values[i].clone())).collect();
        let made = (step.stage.run)(&Args { values: &inputs, context: &self.context })?;
        for (at, v) in step.outputs.iter().zip(made) {
            if let Some(at) = at {
                values[*at] = Some(v);
            }
        }
        Ok(())
    }

    /// The values at `targets`, from those of the inputs. Steps after the last target do not run.
    ///
    /// # Errors
    /// An error of a node, by name; a target that is not made.
    pub(crate) fn run(&self, given: Vec<(usize, Value)>, targets: &[usize], mode: Mode) -> Result<Vec<Value>> {
        let mut values = self.constants.clone();
        for (at, var) in &self.weights {
            values[*at] = Some(Value::Tensor(mode.tensor(var)));
        }
        for (at, v) in given {
            values[at] = Some(v);
        }
        for step in &self.steps {
            if targets.iter().all(|t| values[*t].is_some()) {
                break;
            }
            self.step(step, &mut values)?;
            for at in step.free.iter().filter(|at| !targets.contains(at)) {
                values[*at] = None;
            }
        }
        let missing = || Error::value("output", "no node makes it");
        targets.iter().map(|t| values[*t].clone().ok_or_else(missing)).collect()
    }
}
