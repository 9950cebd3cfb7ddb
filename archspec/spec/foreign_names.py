"""What other libraries call things, for suggestions only: nothing here is accepted in a spec."""

from __future__ import annotations

from collections.abc import Collection

from archspec.diagnostics import did_you_mean

# Longer words are no misspelt key, and comparing them costs more than it tells.
MAX_WORD = 100

# PyTorch, Keras, Caffe and TensorFlow names without case, underscores, hyphens and `2d`.
_LAYER_TYPES = {
    "avgpool": "avg_pool2d",
    "averagepooling": "avg_pool2d",
    "averagepool": "avg_pool2d",
    "adaptiveavgpool": "adaptive_avg_pool2d",
    "batchnorm": "batch_norm",
    "batchnormalization": "batch_norm",
    "bn": "batch_norm",
    "cat": "concat",
    "concatenate": "concat",
    "conv": "conv2d",
    "convolution": "conv2d",
    "conv2dtranspose": "conv2d_transpose",
    "convolutional": "conv2d",
    "convolutiontranspose": "conv2d_transpose",
    "convtranspose": "conv2d_transpose",
    "deconv": "conv2d_transpose",
    "deconvolution": "conv2d_transpose",
    "droppath": "stochastic_depth",
    "eltwise": "add",
    "fc": "dense",
    "fullyconnected": "dense",
    "gap": "global_avg_pool2d",
    "gemm": "dense",
    "globalaveragepooling": "global_avg_pool2d",
    "globalavgpool": "global_avg_pool2d",
    "hsigmoid": "hard_sigmoid",
    "hswish": "hard_swish",
    "groupnormalization": "group_norm",
    "innerproduct": "dense",
    "instancenorm": "group_norm",
    "instancenormalization": "group_norm",
    "interpolate": "upsample2d",
    "layernormalization": "layer_norm",
    "layerscale": "scale",
    "leakyrelu": "leaky_relu",
    "linear": "dense",
    "localresponsenorm": "local_response_norm",
    "localresponsenormalization": "local_response_norm",
    "lrn": "local_response_norm",
    "maxpool": "max_pool2d",
    "maxpooling": "max_pool2d",
    "mul": "multiply",
    "pool": "max_pool2d",
    "pooling": "max_pool2d",
    "resize": "upsample2d",
    "shufflechannel": "channel_shuffle",
    "slice": "split",
    "sum": "add",
    "swish": "silu",
    "transpose": "permute",
    "transposedconv": "conv2d_transpose",
    "transposedconvolution": "conv2d_transpose",
    "unflatten": "reshape",
    "upsampling": "upsample2d",
    "upsamplingbilinear": "upsample2d",
    "upsamplingnearest": "upsample2d",
    "view": "reshape",
    "zeropad": "zero_pad2d",
    "zeropadding": "zero_pad2d",
    "pad": "zero_pad2d",
}

# The first of the names that the mapping has is meant.
_KEYS = {
    "alpha": ("negative_slope", "final"),
    "beta_1": ("beta1",),
    "beta_2": ("beta2",),
    "betas": ("beta1",),
    "bias": ("k",),
    "bias_initializer": ("bias_init",),
    "bias_filler": ("bias_init",),
    "bias_term": ("bias",),
    "bottom": ("inputs",),
    "ceil_mode": ("rounding",),
    "center": ("affine",),
    "classes": ("units",),
    "clip_grad_norm": ("gradient_clipping",),
    "clipnorm": ("gradient_clipping",),
    "depth_radius": ("size",),
    "dilation_rate": ("dilation",),
    "dilations": ("dilation",),
    "dims": ("order",),
    "drop_prob": ("rate",),
    "drop_rate": ("rate",),
    "elementwise_affine": ("affine",),
    "eps": ("epsilon",),
    "epsilon": ("eps",),
    "eta_min": ("final",),
    "factor": ("gain",),
    "filter_size": ("kernel_size",),
    "filters": ("units",),
    "from": ("inputs", "factor"),
    "gamma": ("factor",),
    "global_clipnorm": ("gradient_clipping",),
    "grad_clip": ("gradient_clipping",),
    "group": ("groups",),
    "init_values": ("weight_init",),
    "input": ("inputs",),
    "interpolation": ("mode",),
    "keep_prob": ("rate",),
    "kernel": ("kernel_size",),
    "kernel_initializer": ("weight_init",),
    "kernel_shape": ("kernel_size",),
    "ksize": ("kernel_size",),
    "local_size": ("size",),
    "lr": ("learning_rate",),
    "lr_mult": ("learning_rate",),
    "maxval": ("high",),
    "max": ("high",),
    "max_norm": ("gradient_clipping",),
    "milestones": ("epochs",),
    "min": ("low",),
    "minval": ("low",),
    "momentum": ("decay",),
    "n": ("size",),
    "n_filters": ("filters",),
    "norm_region": ("size",),
    "num_groups": ("groups",),
    "num_filters": ("filters",),
    "num_output": ("filters", "units"),
    "num_units": ("units",),
    "out_channels": ("filters", "units"),
    "out_features": ("units", "filters"),
    "p": ("rate",),
    "pad": ("padding",),
    "pads": ("padding",),
    "perm": ("order",),
    "pool_size": ("kernel_size",),
    "prob": ("rate",),
    "probability": ("rate",),
    "ratio": ("rate",),
    "dropout_ratio": ("rate",),
    "requires_grad": ("trainable",),
    "scale": ("affine",),
    "scale_factor": ("scale",),
    "sigma": ("std",),
    "size": ("kernel_size", "output_size", "scale"),
    "standard_deviation": ("std",),
    "start_factor": ("factor",),
    "stddev": ("std",),
    "strides": ("stride",),
    "survival_prob": ("rate",),
    "target_shape": ("shape",),
    "units": ("filters",),
    "use_bias": ("bias",),
    "warmup_epochs": ("warmup",),
    "weight_filler": ("weight_init",),
    "weights_init": ("weight_init",),
    "init": ("weight_init",),
    "wd": ("weight_decay",),
    "l2": ("weight_decay",),
}

# Where the other library's value means something else.
_REMARKS = {
    "betas": "and `beta2`",
    "ceil_mode": "`ceil_mode: true` is `rounding: ceil`",
    "depth_radius": "a radius r is a size of 2r + 1",
    "eta_min": "a share of the learning rate",
    "init_values": "`{type: constant, value: ...}`",
    "momentum": "Keras' momentum, and one minus PyTorch's",
    "keep_prob": "one minus the share that is kept",
    "survival_prob": "one minus the share that survives",
    "warmup_epochs": "`warmup: {epochs: ...}`",
}

_FOLLOWS = "it follows from the layer before; leave the key out"
_NO_KEY = {
    "activation": "an activation is a layer of its own: write `{name: ..., type: relu}` after it",
    "align_corners": "pixels are areas, PyTorch's `align_corners=False`; leave the key out",
    "data_format": "maps are always channels, height, width; leave the key out",
    "dtype": "a spec holds no number format; leave the key out",
    "in_channels": _FOLLOWS,
    "in_features": _FOLLOWS,
    "input_dim": _FOLLOWS,
    "input_shape": _FOLLOWS,
    "inplace": "how a backend computes is its own matter; leave the key out",
    "normalized_shape": _FOLLOWS,
    "num_channels": _FOLLOWS,
    "num_features": _FOLLOWS,
    "padding_mode": "padding is always zeros; leave the key out",
    "start_dim": "`flatten` always flattens the whole map; leave the key out",
}


def suggest_layer_type(word: str, known: Collection[str]) -> str | None:
    """A suggestion for a layer type that does not exist, or None when nothing is near."""
    if len(word) > MAX_WORD:
        return None
    plain = word.lower().replace("_", "").replace("-", "").removesuffix("2d")
    meant = _LAYER_TYPES.get(plain)
    return f"did you mean `{meant}`?" if meant in known else did_you_mean(word, known)


def suggest_key(word: str, known: Collection[str]) -> str | None:
    """A suggestion for a key that does not exist, or None when nothing is near."""
    if len(word) > MAX_WORD:
        return None
    folded = word.lower()
    for meant in _KEYS.get(folded, ()):
        if meant in known:
            remark = f" ({_REMARKS[folded]})" if folded in _REMARKS else ""
            return f"did you mean `{meant}`?{remark}"
    if folded in _NO_KEY and "name" in known:
        return _NO_KEY[folded]
    return did_you_mean(word, known)
