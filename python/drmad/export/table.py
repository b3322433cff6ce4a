"""Which ATen operations a graph may hold, and how their arguments are written: tensors as "in", the
rest as "attr" under the schema's names with defaults filled in. docs/GRAPH.md is the same list."""

from __future__ import annotations

# Operands broadcast; each is a tensor or a number, and all have one type before the operation.
ELEMENTWISE = {
    **dict.fromkeys(("add", "sub", "mul", "div", "pow", "maximum", "minimum"), 2),
    **dict.fromkeys(("eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or"), 2),
    "where": 3,
    **dict.fromkeys(("exp", "log", "log1p", "sqrt", "rsqrt", "reciprocal"), 1),
    **dict.fromkeys(("abs", "neg", "sign", "erf"), 1),
    **dict.fromkeys(("relu", "tanh", "sigmoid", "silu", "logical_not"), 1),
}
COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")
# The same with the operands the other way round.
MIRRORED = {"add": "add", "mul": "mul", "sub": "rsub", "eq": "eq", "ne": "ne", "lt": "gt",
            "le": "ge", "gt": "lt", "ge": "le"}  # fmt: skip

# name -> (tensors, attributes), by the names of the schema.
OTHERS = {
    "gelu": (("self",), ("approximate",)),
    "hardtanh": (("self",), ("min_val", "max_val")),
    "clamp": (("self",), ("min", "max")),
    "leaky_relu": (("self",), ("negative_slope",)),
    "softplus": (("self",), ("beta", "threshold")),
    "elu": (("self",), ("alpha", "scale", "input_scale")),
    "mm": (("self", "mat2"), ()),
    "bmm": (("self", "mat2"), ()),
    "addmm": (("self", "mat1", "mat2"), ("beta", "alpha")),
    "baddbmm": (("self", "batch1", "batch2"), ("beta", "alpha")),
    "convolution": (
        ("input", "weight", "bias"),
        ("stride", "padding", "dilation", "groups", "transposed", "output_padding"),
    ),
    "max_pool2d_with_indices": (("self",), ("kernel_size", "stride", "padding", "dilation")),
    "avg_pool2d": (
        ("self",),
        ("kernel_size", "stride", "padding", "count_include_pad", "divisor_override"),
    ),
    "_adaptive_avg_pool2d": (("self",), ("output_size",)),
    "native_layer_norm": (("input", "weight", "bias"), ("normalized_shape", "eps")),
    "native_group_norm": (("input", "weight", "bias"), ("group", "eps")),
    "native_dropout": (("input",), ("p",)),
    "mean": (("self",), ("dim", "keepdim")),
    "sum": (("self",), ("dim", "keepdim")),
    "var": (("self",), ("dim", "correction", "keepdim")),
    "_softmax": (("self",), ("dim",)),
    "_log_softmax": (("self",), ("dim",)),
    "logsumexp": (("self",), ("dim", "keepdim")),
    "amax": (("self",), ("dim", "keepdim")),
    "nll_loss_forward": (("self", "target", "weight"), ("reduction",)),
    "gather": (("self", "index"), ("dim",)),
    "embedding": (("weight", "indices"), ()),
    "permute": (("self",), ("dims",)),
    "expand": (("self",), ()),
    "slice": (("self",), ("dim", "start", "end", "step")),
    "select": (("self",), ("dim", "index")),
    "cat": (("tensors",), ("dim",)),
    "constant_pad_nd": (("self",), ("pad", "value")),
}
RESHAPES = ("view", "_unsafe_view", "reshape", "squeeze", "unsqueeze", "flatten")
# Nothing to compute: the operand goes on under its own name.
ALIASES = ("clone", "alias", "contiguous", "lift_fresh_copy", "lift_fresh")
FILLS = ("full", "full_like", "zeros", "zeros_like", "ones", "ones_like", "new_zeros", "new_ones",
         "new_full", "empty", "empty_like", "scalar_tensor")  # fmt: skip
VALUE_OF_FILL = {"zeros": 0, "zeros_like": 0, "new_zeros": 0, "ones": 1, "ones_like": 1,
                 "new_ones": 1, "empty": 0, "empty_like": 0}  # fmt: skip
# What else this package writes: view (the shape says to what), full (attr.value), _to_copy (the
# dtype says to what), rsub, native_batch_norm (whose outputs 3 and 4 are the next statistics).

# Arguments that are imported with these values only: {operation: {argument: values}}.
ONLY: dict[str, dict[str, tuple]] = {
    "max_pool2d_with_indices": {"ceil_mode": (False,)},
    "avg_pool2d": {"ceil_mode": (False,)},
    "embedding": {"padding_idx": (-1,), "scale_grad_by_freq": (False,), "sparse": (False,)},
    "_softmax": {"half_to_float": (False,)},
    "_log_softmax": {"half_to_float": (False,)},
    "div": {"rounding_mode": (None,)},
}

RANDOM = ("rand", "randn", "randint", "randperm", "rand_like", "randn_like", "randint_like",
          "bernoulli", "normal", "uniform", "multinomial", "poisson", "exponential", "dropout",
          "native_dropout_backward", "rrelu_with_noise")  # fmt: skip

# Kept whole where torch's table would take them apart.
WHOLE = ("nll_loss_forward", "nll_loss2d_forward", "_safe_softmax", "silu", "softplus",
         "logsumexp", "baddbmm", "detach")  # fmt: skip
