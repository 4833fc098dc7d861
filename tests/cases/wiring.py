"""Functional graphs: shared layers, nested models, layers called again, inputs and outputs that coincide."""

from .case import H5, KERAS2, KERAS3, ROUNDED_GELU, ZIP, Input, Layer, functional

_X, _Y = Input((None, 3), name="x"), Input((None, 3), name="y")
_DENSE = Layer("Dense", {"units": 3, "activation": "tanh"}, ("x",), "dense")
_INNER = functional(
    "wiring/inner",
    [
        Layer("Dense", {"units": 4}, ("left",), "to_left"),
        Layer("GRU", {"units": 2, "return_sequences": True}, ("right",), "to_right"),
        Layer("Concatenate", {}, ("to_left", "to_right"), "both"),
    ],
    ["to_right", "both"],
    Input((None, 3), name="left"),
    Input((None, 3), name="right"),
)
_CHAIN = [Layer("Dense", {"units": 3, "activation": "tanh"}), Layer("GRU", {"units": 3, "return_sequences": True})]
_SUB = Layer("Sequential", {"layers": _CHAIN}, ("x",), "sub")

CASES = [
    functional(
        "wiring/called_again",
        [
            _DENSE,
            Layer("Again", {"of": "dense"}, ("dense",), "twice"),
            Layer("Again", {"of": "dense"}, ("y",), "other"),
        ],
        ["dense", "twice", "other"],
        _X,
        _Y,
    ),
    functional(
        "wiring/shared_recurrent",
        [
            Layer("LSTM", {"units": 3}, ("x",), "lstm"),
            Layer("Again", {"of": "lstm"}, ("y",), "again"),
            Layer("Subtract", {}, ("lstm", "again"), "difference"),
        ],
        "difference",
        _X,
        _Y,
    ),
    *(
        functional(
            f"wiring/sequential_inside_{layout}",
            [_SUB, Layer("Dense", {"units": 2}, ("sub",), "head")],
            "head",
            _X,
            layout=layout,
        )
        for layout in (H5, ZIP)
    ),
    *(
        functional(
            f"wiring/sequential_called_twice_{layout}",
            [_SUB, Layer("Again", {"of": "sub"}, ("sub",), "once_more"), Layer("Add", {}, ("sub", "once_more"), "sum")],
            ["sum", "once_more"],
            _X,
            layout=layout,
        )
        for layout in (H5, ZIP)
    ),
    *(
        functional(
            f"wiring/model_inside_{layout}",
            [
                Layer("Model", {"case": _INNER}, ("x", "y"), "inner"),
                Layer("LSTM", {"units": 2}, ("inner:1",), "lstm"),
                Layer("Again", {"of": "inner"}, ("y", "x"), "turned"),
                Layer("Dense", {"units": 2}, ("turned",), "head"),
            ],
            ["lstm", "head", "inner"],
            _X,
            _Y,
            layout=layout,
        )
        for layout in (H5, ZIP)
    ),
    functional(
        "wiring/model_with_an_output_unread",
        [Layer("Model", {"case": _INNER}, ("x", "y"), "inner"), Layer("Dense", {"units": 2}, ("inner",), "head")],
        "head",
        _X,
        _Y,
        layout=H5,
    ),
    functional("wiring/same_output_twice", [_DENSE], ["dense", "dense"], _X),
    functional("wiring/input_as_output", [_DENSE], ["x", "dense"], _X),
]

_OPERATIONS = {
    "arithmetic": "(a + 1.5) * b / (2.0 - a * a) - b",
    "negated_power": "-a ** 2 + abs(b) ** 0.5",
    "last_step": "a[:, -1]",
    "first_step": "a[:, 0] + 1.0",
    "features": "a[..., 1:3]",
    "one_feature": "a[:, :, 1]",
    "new_axes": "a[:, None] + b[:, None, :]",
    "reversed_steps": "a[:, ::-1]",
    "every_other_step": "a[:, ::2]",
    "without_ends": "a[:, 1:-1]",
    "last_steps": "a[:, -2:]",
}
_KERAS3_OPERATIONS = {
    "functions": "ops.exp(ops.tanh(a)) + ops.log(ops.abs(b) + 1) - ops.sqrt(ops.square(a) + 0.1)",
    "mean_and_extremes": "ops.mean(a, axis=2, keepdims=True) + ops.max(b, -1, True) - ops.min(a, -1, True)",
    "sum_over_time": "ops.sum(a, axis=1)",
    "joined": "ops.concatenate([a, b, a * b], axis=-1)",
    "stacked": "ops.stack([a, b], axis=2)",
    "softmax_of_time": "ops.softmax(a, axis=1)",
    "activations": "ops.relu(a) + ops.sigmoid(b) + ops.softmax(a) + ops.gelu(b) + ops.leaky_relu(a, 0.3)",
    "chosen": "ops.where(a > b, a, 0.5)",
    "logic": "ops.cast(ops.logical_or(ops.logical_and(a > 0, b <= 0.5), ops.logical_not(a < b)), a.dtype) * a",
    "any_and_all": "ops.cast(ops.any(a > 0.3, -1), a.dtype) - 2.0 * ops.cast(ops.all(b > 0, -1), a.dtype)",
    "like": "ops.ones_like(a) * 2.0 + ops.zeros_like(b) + a",
    "scores": "ops.matmul(a, ops.transpose(b, (0, 2, 1)))",
    "squeezed": "ops.squeeze(a[..., :1], -1) + ops.expand_dims(b, -1)[..., 0, 0]",
    "normalized": "ops.normalize(a, axis=-1) + ops.clip(b, -0.5, 0.5)",
    "spread": "ops.var(a, axis=-1, keepdims=True) + ops.std(b, axis=-1, keepdims=True) * a",
    "split": "ops.split(a, 3, axis=-1)[1] * b",
}
_TENSORFLOW_OPERATIONS = {
    "functions": "tf.exp(tf.tanh(a)) + tf.math.log(tf.abs(b) + 1) - tf.sqrt(tf.square(a) + 0.1)",
    "mean_and_extremes": "tf.reduce_mean(a, 2, True) + tf.reduce_max(b, -1, True) - tf.reduce_min(a, -1, True)",
    "sum_over_time": "tf.reduce_sum(a, axis=1)",
    "joined": "tf.concat([a, b, tf.multiply(a, b)], axis=-1)",
    "stacked": "tf.stack([a, b], axis=2)",
    "softmax_of_time": "tf.nn.softmax(a, axis=1)",
    "activations": "tf.nn.relu(a) + tf.sigmoid(b) + tf.nn.softmax(a) + tf.nn.elu(b) + tf.nn.leaky_relu(a, 0.3)",
    "chosen": "tf.where(a > b, a, b * 2.0)",
    "logic": "tf.cast(tf.logical_or(tf.logical_and(a > 0.0, b <= 0.5), tf.logical_not(a < b)), a.dtype) * a",
    "like": "tf.ones_like(a) * 2.0 + tf.zeros_like(b) + a",
    "scores": "tf.matmul(a, b, transpose_b=True)",
    "turned_scores": "tf.matmul(tf.transpose(a, (0, 2, 1)), b)",
    "squeezed": "tf.squeeze(a[..., :1], -1) + tf.expand_dims(b, -1)[..., 0, 0]",
    "normalized": "tf.math.l2_normalize(a, axis=-1) + tf.clip_by_value(b, -0.5, 0.5)",
    "constant_first": "1 - a + 3 * b + 2 / (abs(b) + 1.0)",
    "divided": "tf.math.divide_no_nan(a, b)",
    "split": "tf.split(a, 3, axis=-1)[1] * b",
}


def _operations(table: dict[str, str], where: str, **options) -> list:
    """The result beside a recurrent layer that feeds the operation."""
    return [
        functional(
            f"wiring/op_{where}_{name}",
            [
                Layer("LSTM", {"units": 3, "return_sequences": True}, ("x",), "lstm"),
                Layer("Expression", {"code": code}, ("lstm", "x"), "out"),
            ],
            "out",
            Input((5, 3), name="x"),
            double=ROUNDED_GELU if "gelu" in code else 1e-11,
            layout=H5 if "..." in code else "",  # tf_keras writes no Ellipsis to a .keras file
            **options,
        )
        for name, code in table.items()
    ]


CASES += [
    *_operations(_OPERATIONS, "both"),
    *_operations(_KERAS3_OPERATIONS, "keras3", versions=(KERAS3,)),
    *_operations(_TENSORFLOW_OPERATIONS, "tensorflow", versions=(KERAS2,)),
]
