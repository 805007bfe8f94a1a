//! The operators, by family. [`table`] is the one place that joins a name and its code.

mod activation;
mod compare;
mod constant;
mod conv;
mod elementwise;
mod gather;
mod join;
mod matmul;
mod moved;
mod norm;
mod pad;
mod pool;
mod quantize;
pub(crate) mod random;
mod reduce;
mod reshape;
mod resize;
mod slice;
mod softmax;
mod window;

pub(crate) use activation::{Fused, fused as fused_activation};
pub(crate) use conv::conv_with;
pub(crate) use elementwise::add_relu;
pub(crate) use matmul::affine;

use crate::node::{Attributes, Node};
use crate::value::Run;
use sconce_tensor_core::Result;

/// Makes what a node does from its attributes.
type Maker = fn(&Node, &Attributes<'_>) -> Result<Run>;

/// The operators that are supported, with their code.
fn table(op: &str) -> Option<Maker> {
    Some(match op {
        "Conv" => conv::conv,
        "ConvTranspose" => conv::transpose,
        "Gemm" => matmul::gemm,
        "MatMul" => matmul::matmul,
        "MaxPool" | "AveragePool" => pool::pool,
        "GlobalAveragePool" | "GlobalMaxPool" => pool::global,
        "BatchNormalization" => norm::batch,
        "LayerNormalization" => norm::layer,
        "InstanceNormalization" => norm::instance,
        "GroupNormalization" => norm::group,
        "LRN" => norm::local_response,
        "Relu" | "LeakyRelu" | "PRelu" | "Elu" | "Celu" | "Selu" | "Sigmoid" | "HardSigmoid" | "HardSwish" | "Gelu"
        | "Erf" | "Tanh" | "Softplus" | "Softsign" | "Mish" | "ThresholdedRelu" | "Clip" => activation::maker,
        "Softmax" | "LogSoftmax" => softmax::maker,
        "Add" | "Sub" | "Mul" | "Div" | "Pow" | "Mod" | "Min" | "Max" | "Sum" | "Mean" => elementwise::maker,
        "Sqrt" | "Exp" | "Log" | "Neg" | "Abs" | "Reciprocal" | "Round" | "Floor" | "Ceil" | "Sign" | "Sin" | "Cos" => {
            elementwise::unary
        }
        "Equal" | "Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual" | "And" | "Or" | "Xor" | "Not" | "Where"
        | "IsNaN" => compare::maker,
        "ReduceMean" | "ReduceSum" | "ReduceMax" | "ReduceMin" | "ReduceProd" | "ReduceL1" | "ReduceL2"
        | "ReduceSumSquare" | "ReduceLogSum" | "ReduceLogSumExp" => reduce::maker,
        "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" | "Transpose" | "Expand" | "Tile" | "DepthToSpace"
        | "SpaceToDepth" | "Identity" | "Dropout" => reshape::maker,
        "Concat" | "Split" => join::maker,
        "Slice" => slice::maker,
        "Gather" | "GatherElements" | "ScatterND" => gather::maker,
        "Pad" => pad::maker,
        "Resize" | "Upsample" => resize::maker,
        "Cast" | "CastLike" | "Shape" | "Size" | "ConstantOfShape" | "Range" => constant::maker,
        "QuantizeLinear" | "DequantizeLinear" => quantize::maker,
        "RandomNormal" | "RandomNormalLike" | "RandomUniform" | "RandomUniformLike" => random::maker,
        _ => return None,
    })
}

/// Whether a node's operator is supported; for other operators, what it would take.
pub(crate) fn supported(node: &Node) -> Result<(), String> {
    if node.domain.is_empty() && (node.op == "Constant" || table(&node.op).is_some()) {
        return Ok(());
    }
    Err(match (node.domain.as_str(), node.op.as_str()) {
        ("", "If" | "Loop" | "Scan") => {
            "its branches are graphs of their own; export with a fixed input size, or simplify the file (onnxsim), so that the branch is decided"
        }
        ("", "LSTM" | "GRU" | "RNN") => "recurrent networks are not read from ONNX; export the unrolled network",
        ("", "ArgMax" | "ArgMin" | "TopK" | "NonMaxSuppression") => {
            "it chooses places, which have no gradient; name the scores before it as the output (--output NAME)"
        }
        ("", "Einsum") => "write the sum as a matrix product (torch.matmul, with permute) in the model, and export it again",
        ("", "ConvInteger" | "MatMulInteger" | "QLinearConv" | "QLinearMatMul" | "DynamicQuantizeLinear") => {
            "it computes in 8 bits and has no gradient; use the network before quantisation"
        }
        ("ai.onnx.ml", _) => "it belongs to classical machine learning, which has no gradient",
        ("com.microsoft", _) => "it is an operator of one runtime; export without that runtime's optimisation",
        ("", _) => "there is no code for it; write the model without it, or export with another operator set, and see `sconce model inspect`",
        _ => "it is an operator of its own domain; export with operators of ONNX, or inline its function (onnx.inliner)",
    }
    .to_owned())
}

/// What a node does.
///
/// # Errors
/// An operator or attribute that is not supported, by node and name.
pub(crate) fn compile(node: &Node) -> Result<Run> {
    let make = match (supported(node), table(&node.op)) {
        (Ok(()), Some(make)) => make,
        (why, _) => return Err(node.error(format!("the operator is not supported: {}", why.err().unwrap_or_default()))),
    };
    let attributes = node.attributes();
    let run = make(node, &attributes)?;
    attributes.finish()?;
    let place = node.place();
    Ok(Box::new(move |a| run(a).map_err(|e| sconce_tensor_core::Error::value(&place, e.to_string()))))
}
