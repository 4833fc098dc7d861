"""The whitelist: which function each class of Keras 3 and each name of TensorFlow is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..call import LayerCall, Value
from ..layers import REGISTRY
from ..policies import keras_dtype
from ..spec import LayerSpec
from . import arithmetic as a
from . import shapes as s

__all__ = ["KERAS3", "TENSORFLOW", "is_operation", "run"]


@dataclass(frozen=True)
class Operation:
    """build: the function here. parameters: its names for positional arguments; renamed: for keywords.

    fixed: keywords that say nothing as long as they have this value.
    """

    build: Callable[..., Any]
    parameters: tuple[str, ...] = ("x",)
    renamed: dict[str, str] = field(default_factory=dict)
    fixed: dict[str, tuple] = field(default_factory=dict)


def _op(build: Callable[..., Any], parameters: str = "x", renamed: str = "", **fixed: tuple) -> Operation:
    pairs = dict(p.split("=") for p in renamed.split())
    return Operation(build, tuple(parameters.split()), pairs, fixed)


_NO: tuple = (None, False)
_REDUCE = "x axis keepdims"

#: Keras 3: class of an operation -> what it is (keras.src.ops.numpy, .nn, .math, .core)
KERAS3: dict[str, Operation] = {
    **{n: _op(a.plain(n.lower()), "x y", "x1=x x2=y") for n in ("Add", "Subtract", "Multiply", "Maximum", "Minimum")},
    "TrueDivide": _op(a.divide, "x y", "x1=x x2=y"),
    "Divide": _op(a.divide, "x y", "x1=x x2=y"),
    "DivideNoNan": _op(a.divide_no_nan, "x y", "x1=x x2=y"),
    "Power": _op(a.power, "x y", "x1=x x2=y"),
    "Square": _op(a.square),
    "Negative": _op(a.negative),
    "Reciprocal": _op(a.reciprocal),
    **{
        n: _op(a.compare(f), "x y", "x1=x x2=y")
        for n, f in (
            ("Equal", "equal"),
            ("NotEqual", "not_equal"),
            ("Greater", "greater"),
            ("GreaterEqual", "greater_equal"),
            ("Less", "less"),
            ("LessEqual", "less_equal"),
        )
    },
    "LogicalAnd": _op(a.logical("minimum"), "x y", "x1=x x2=y"),
    "LogicalOr": _op(a.logical("maximum"), "x y", "x1=x x2=y"),
    "LogicalXor": _op(a.logical("xor"), "x y", "x1=x x2=y"),
    "LogicalNot": _op(a.logical_not),
    "Isnan": _op(a.is_nan),
    "Where": _op(a.where, "condition x y", "x1=x x2=y"),
    "Clip": _op(a.clip, "x low high", "x_min=low x_max=high"),
    **{
        n: _op(a.unary(f))
        for n, f in (
            ("Abs", "abs"),
            ("Absolute", "abs"),
            ("Log", "log"),
            ("Log1p", "log1p"),
            ("Expm1", "expm1"),
            ("Sqrt", "sqrt"),
            ("Rsqrt", "rsqrt"),
            ("Sin", "sin"),
            ("Cos", "cos"),
            ("Floor", "floor"),
            ("Ceil", "ceil"),
            ("Sign", "sign"),
            ("Erf", "erf"),
        )
    },
    **{
        n: _op(a.activation(f))
        for n, f in (
            ("Exp", "exponential"),
            ("Tanh", "tanh"),
            ("Sigmoid", "sigmoid"),
            ("Relu", "relu"),
            ("Selu", "selu"),
            ("Softplus", "softplus"),
            ("Softsign", "softsign"),
            ("Silu", "silu"),
            ("HardSigmoid", "hard_sigmoid_k3"),
            ("HardSilu", "hard_silu"),
            ("LogSigmoid", "log_sigmoid"),
        )
    },
    "Relu6": _op(a.activation("relu_general", 6.0, 0.0, 0.0)),
    "LeakyRelu": _op(a.leaky_relu, "x slope", "negative_slope=slope"),
    "Elu": _op(a.elu, "x alpha"),
    "Gelu": _op(a.gelu, "x approximate"),
    "Softmax": _op(a.rowwise("softmax"), "x axis"),
    "LogSoftmax": _op(a.rowwise("log_softmax"), "x axis"),
    "Normalize": _op(a.normalize, "x axis order epsilon"),
    "Cast": _op(a.cast_to, "x dtype"),
    "ConvertToTensor": _op(a.as_tensor, "x dtype", sparse=_NO, ragged=_NO),
    "OnesLike": _op(a.filled(1.0), "x", dtype=()),
    "ZerosLike": _op(a.filled(0.0), "x", dtype=()),
    "FullLike": _op(a.filled(None), "x fill", "fill_value=fill"),
    "Sum": _op(a.reduction("sum"), _REDUCE, dtype=_NO),
    "Mean": _op(a.reduction("mean"), _REDUCE),
    "Max": _op(a.reduction("max"), _REDUCE, initial=_NO),
    "Amax": _op(a.reduction("max"), _REDUCE),
    "Min": _op(a.reduction("min"), _REDUCE, initial=_NO),
    "Amin": _op(a.reduction("min"), _REDUCE),
    "Prod": _op(a.reduction("prod"), _REDUCE, dtype=_NO),
    "Any": _op(a.any_of("max"), _REDUCE),
    "All": _op(a.any_of("min"), _REDUCE),
    "Var": _op(a.variance, _REDUCE),
    "Std": _op(a.deviation, _REDUCE),
    "Matmul": _op(a.matmul, "x y", "x1=x x2=y"),
    "GetItem": _op(s.getitem, "x key"),
    "Take": _op(s.take, "x indices axis"),
    "Flip": _op(s.flip, "x axis"),
    "Concatenate": _op(s.concatenate, "values axis", "xs=values"),
    "Stack": _op(s.stack, "values axis", "x=values"),
    "Split": _op(s.split, "x sections axis", "indices_or_sections=sections"),
    "Unstack": _op(s.unstack, "x axis num"),
    "ExpandDims": _op(s.expand_dims, "x axis"),
    "Squeeze": _op(s.squeeze_dims, "x axis"),
    "Transpose": _op(s.transpose, "x perm", "axes=perm"),
    "Swapaxes": _op(s.swap_axes, "x axis1 axis2"),
    "Moveaxis": _op(s.move_axis, "x source destination"),
    "Reshape": _op(s.reshape, "x shape", "newshape=shape"),
    "Repeat": _op(s.repeat, "x repeats axis"),
    "Tile": _op(s.tile, "x repeats"),
    "Pad": _op(s.pad, "x width mode value", "pad_width=width constant_values=value"),
    "StopGradient": _op(s.identity, "x", "variable=x"),
    "Copy": _op(s.identity),
}

_AXIS = "input_tensor=x"


def _names(build: Operation, *names: str) -> dict[str, Operation]:
    return dict.fromkeys(names, build)


#: Keras 2: function of a TFOpLambda, also the op of a TensorFlowOpLayer -> what it is
TENSORFLOW: dict[str, Operation] = {
    **_names(_op(a.plain("add"), "x y"), "__operators__.add", "math.add", "Add", "AddV2", "BiasAdd"),
    **_names(_op(a.plain("subtract"), "x y"), "math.subtract", "__operators__.sub", "Sub"),
    **_names(_op(a.plain("multiply"), "x y"), "math.multiply", "__operators__.mul", "Mul"),
    **_names(_op(a.plain("maximum"), "x y"), "math.maximum", "Maximum"),
    **_names(_op(a.plain("minimum"), "x y"), "math.minimum", "Minimum"),
    **_names(_op(a.divide, "x y"), "math.truediv", "math.divide", "__operators__.truediv", "RealDiv"),
    **_names(_op(a.divide_no_nan, "x y"), "math.divide_no_nan", "DivNoNan"),
    **_names(_op(a.power, "x y"), "math.pow", "__operators__.pow", "Pow"),
    **_names(_op(a.square), "math.square", "Square"),
    **_names(_op(a.negative), "math.negative", "__operators__.neg", "Neg"),
    **_names(_op(a.reciprocal), "math.reciprocal", "Reciprocal"),
    **_names(_op(a.add_n, "values", "inputs=values"), "math.add_n", "AddN"),
    **{
        f"{prefix}{n}": _op(a.compare(f), "x y")
        for f in ("equal", "not_equal", "greater", "greater_equal", "less", "less_equal")
        for prefix, n in (("math.", f), ("", "".join(w.capitalize() for w in f.split("_"))))
    },
    **_names(_op(a.logical("minimum"), "x y"), "math.logical_and", "LogicalAnd"),
    **_names(_op(a.logical("maximum"), "x y"), "math.logical_or", "LogicalOr"),
    **_names(_op(a.logical("xor"), "x y"), "math.logical_xor"),
    **_names(_op(a.logical_not), "math.logical_not", "LogicalNot"),
    **_names(_op(a.is_nan), "math.is_nan", "IsNan"),
    **_names(_op(a.where, "condition x y"), "where", "compat.v1.where", "SelectV2"),
    "clip_by_value": _op(a.clip, "x low high", "t=x clip_value_min=low clip_value_max=high"),
    **{
        f"math.{f}": _op(a.unary(f))
        for f in ("abs", "log", "log1p", "expm1", "sqrt", "rsqrt", "sin", "cos", "floor", "ceil", "sign", "erf")
    },
    **{n: _op(a.unary(n.lower())) for n in ("Abs", "Log", "Log1p", "Sqrt", "Rsqrt", "Sin", "Cos", "Floor", "Sign")},
    **_names(_op(a.activation("exponential")), "math.exp", "Exp"),
    **_names(_op(a.activation("tanh")), "math.tanh", "nn.tanh", "Tanh"),
    **_names(_op(a.activation("sigmoid")), "math.sigmoid", "nn.sigmoid", "Sigmoid"),
    **_names(_op(a.activation("relu"), "x", "features=x"), "nn.relu", "Relu"),
    **_names(_op(a.activation("relu_general", 6.0, 0.0, 0.0), "x", "features=x"), "nn.relu6", "Relu6"),
    **_names(_op(a.activation("selu"), "x", "features=x"), "nn.selu", "Selu"),
    **_names(_op(a.activation("softplus"), "x", "features=x"), "math.softplus", "nn.softplus", "Softplus"),
    **_names(_op(a.activation("softsign"), "x", "features=x"), "nn.softsign", "Softsign"),
    **_names(_op(a.activation("silu"), "x", "features=x", beta=(1, 1.0)), "nn.silu"),
    "nn.leaky_relu": _op(a.leaky_relu, "x slope", "features=x alpha=slope"),
    **_names(_op(a.elu, "x", "features=x"), "nn.elu", "Elu"),
    "nn.gelu": _op(a.gelu, "x approximate", "features=x"),
    **_names(_op(a.rowwise("softmax"), "x axis", "logits=x"), "nn.softmax", "Softmax"),
    **_names(_op(a.rowwise("log_softmax"), "x axis", "logits=x"), "nn.log_softmax", "LogSoftmax"),
    **_names(_op(a.normalize, "x axis epsilon"), "math.l2_normalize", "nn.l2_normalize", "linalg.l2_normalize"),
    "cast": _op(a.cast_to, "x dtype"),
    **_names(_op(a.filled(1.0), "x", "input=x"), "ones_like", "compat.v1.ones_like", "OnesLike"),
    **_names(_op(a.filled(0.0), "x", "input=x"), "zeros_like", "compat.v1.zeros_like", "ZerosLike"),
    **{
        n: _op(build, _REDUCE, _AXIS)
        for f, build in (
            ("sum", a.reduction("sum")),
            ("mean", a.reduction("mean")),
            ("max", a.reduction("max")),
            ("min", a.reduction("min")),
            ("prod", a.reduction("prod")),
            ("any", a.any_of("max")),
            ("all", a.any_of("min")),
        )
        for n in (f"math.reduce_{f}", f.capitalize())
    },
    "math.reduce_variance": _op(a.variance, _REDUCE, _AXIS),
    "math.reduce_std": _op(a.deviation, _REDUCE, _AXIS),
    **_names(
        _op(a.matmul, "x y transpose_a transpose_b", "a=x b=y", adjoint_a=_NO, adjoint_b=_NO, output_type=_NO),
        "linalg.matmul",
    ),
    "__operators__.getitem": _op(s.getitem, "x key", "slice_spec=key"),
    **_names(
        _op(s.take, "x indices axis", "params=x", validate_indices=_NO, batch_dims=(0,)), "gather", "compat.v1.gather"
    ),
    "reverse": _op(s.flip, "x axis", "tensor=x"),
    "concat": _op(s.concatenate, "values axis"),
    "stack": _op(s.stack, "values axis"),
    "split": _op(s.split, "x sections axis", "value=x num_or_size_splits=sections", num=_NO),
    "unstack": _op(s.unstack, "x axis num", "value=x"),
    "expand_dims": _op(s.expand_dims, "x axis", "input=x"),
    **_names(_op(s.squeeze_dims, "x axis", "input=x squeeze_dims=axis"), "squeeze", "compat.v1.squeeze"),
    **_names(_op(s.transpose, "x perm", "a=x", conjugate=_NO), "transpose", "compat.v1.transpose"),
    "reshape": _op(s.reshape, "x shape", "tensor=x"),
    "repeat": _op(s.repeat, "x repeats axis", "input=x"),
    **_names(_op(s.tile, "x repeats", "input=x multiples=repeats"), "tile"),
    **_names(_op(s.pad, "x width mode value", "tensor=x paddings=width constant_values=value"), "pad", "compat.v1.pad"),
    **_names(_op(s.identity, "x", "input=x"), "identity", "stop_gradient", "Identity", "StopGradient"),
}

_NO_LAYER_FACTS = ("InputLayer",)
_LAMBDAS = ("TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer")


def is_operation(spec: LayerSpec) -> bool:
    """Whether a layer of a file is an operation on tensors.

    Keras 3 says so by the module; in its HDF5 files only the config does: those of layers say ``trainable``.
    """
    if spec.class_name in _LAMBDAS:
        return True
    if spec.generation <= 2:
        return False
    if spec.module:
        return spec.module.startswith(("keras.src.ops", "keras.ops"))
    if spec.class_name in _NO_LAYER_FACTS or spec.class_name in ("Sequential", "Functional"):
        return False
    return "trainable" not in spec.config and ("dtype" not in spec.config or spec.class_name not in REGISTRY)


def run(c: LayerCall, args: list[Any], kwargs: dict[str, Any]) -> list[Value]:
    """The outputs of one operation.

    Raises UnsupportedLayerError for an operation that is not in the tables, or used in a way that is not.
    """
    given = dict(kwargs)
    if c.spec.class_name in _LAMBDAS:
        if c.spec.class_name == "TensorFlowOpLayer":
            from .oplayer import unpack

            name, args, given = unpack(c, args)
        else:
            name = str(c.spec.config.get("function"))
        operation, title = TENSORFLOW.get(name), f"tf.{name}"
    else:
        operation, title = KERAS3.get(c.spec.class_name), f"the operation {c.spec.class_name}"
        given = {k: v for k, v in c.spec.config.items() if k != "name"} | given
    if operation is None:
        raise c.refuse(f"{title} is not among the operations that rnnrt knows", "use a layer for it")
    out = operation.build(c, **_bound(c, operation, args, given))
    made = out if isinstance(out, list) else [out]
    if operation.build is a.cast_to:
        return made
    read = [v for v in _values([args, given]) if v.tensor is not None]
    dtypes = [v.dtype or c.tensor(v).dtype for v in read]
    dtypes = [d for d in dtypes if "float" in d]  # integers and bools take the floats' beside them
    return [Value(v.tensor, v.mask, keras_dtype(c.spec, c.tensor(v).dtype, dtypes)) for v in made]


def _values(structure: Any) -> list[Value]:
    """The tensors among arguments."""
    if isinstance(structure, dict):
        structure = list(structure.values())
    if isinstance(structure, (list, tuple)):
        return [v for x in structure for v in _values(x)]
    return [structure] if isinstance(structure, Value) else []


def _bound(c: LayerCall, operation: Operation, args: list[Any], given: dict[str, Any]) -> dict[str, Any]:
    """Arguments by the names of the function here."""
    if len(args) > len(operation.parameters):
        raise c.refuse(f"it is called with {len(args)} arguments")
    out: dict[str, Any] = dict(zip(operation.parameters, args))
    for key, value in given.items():
        name = operation.renamed.get(key, key)
        if name in operation.parameters:
            if name in out:
                raise c.refuse(f"the argument {key} is given twice")
            out[name] = value
        elif name == "dtype" and "dtype" in operation.fixed and not operation.fixed["dtype"]:
            out[name] = value
        elif value is None or key == "name" or value in operation.fixed.get(key, ()):
            continue
        else:
            raise c.refuse(f"it is called with {key}={str(value)[:60]}, which is not supported")
    return out
