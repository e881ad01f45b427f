"""Networks in Caffe's text form: single layers, and what the classic networks are made of."""

from __future__ import annotations

from contract.sources.caffe_files import layer, net


def conv(name: str, bottom: str, outputs: int, kernel: int, more: str = "", top: str = "") -> str:
    return layer(
        "Convolution", name, bottom, top, f"convolution_param {{ num_output: {outputs} kernel_size: {kernel} {more} }}"
    )


def relu(name: str, blob: str) -> str:
    return layer("ReLU", name, blob, blob)


def pool(kind: str, more: str) -> str:
    return layer("Pooling", "p", "data", more=f"pooling_param {{ pool: {kind} {more} }}")


def one(kind: str, more: str = "") -> str:
    return layer(kind, "one", "data", more=more)


TWO = layer("Sigmoid", "a", "data") + layer("TanH", "b", "data")
POOLED = layer("Pooling", "g", "data", more="pooling_param { pool: AVE global_pooling: true }")

LAYERS = {
    "convolution": conv("c", "data", 6, 3, "pad: 1 stride: 2"),
    "convolution-by-axis": one(
        "Convolution",
        "convolution_param { num_output: 6 kernel_h: 3 kernel_w: 1 pad_h: 2 pad_w: 0 stride_h: 2 stride_w: 1 group: 3 "
        "bias_term: false }",
    ),
    "convolution-dilated": conv("c", "data", 6, 3, "dilation: 2 pad: 2"),
    "convolution-depthwise": one("ConvolutionDepthwise", "convolution_param { num_output: 3 kernel_size: 3 }"),
    "deconvolution": one("Deconvolution", "convolution_param { num_output: 4 kernel_size: 4 stride: 2 pad: 1 }"),
    "deconvolution-grouped": one(
        "Deconvolution", "convolution_param { num_output: 3 kernel_size: 4 stride: 2 group: 3 bias_term: false }"
    ),
    "max": pool("MAX", "kernel_size: 3 stride: 2"),
    "max-padded": pool("MAX", "kernel_size: 3 stride: 2 pad: 1"),
    "max-overhang": pool("MAX", "kernel_size: 2 stride: 2"),
    "max-clipped": pool("MAX", "kernel_size: 2 stride: 3 pad: 1"),
    "max-by-axis": pool("MAX", "kernel_h: 3 kernel_w: 2 stride_h: 2 stride_w: 3 pad_h: 1 pad_w: 0"),
    "max-global": pool("MAX", "global_pooling: true"),
    "max-floor": pool("MAX", "kernel_size: 2 stride: 2 round_mode: FLOOR"),
    "max-no-ceil": pool("MAX", "kernel_size: 2 stride: 2 ceil_mode: false"),
    "ave-padded": pool("AVE", "kernel_size: 3 stride: 2 pad: 1"),
    "ave-overhang": pool("AVE", "kernel_size: 2 stride: 2"),
    "ave-padded-overhang": pool("AVE", "kernel_size: 4 stride: 3 pad: 1"),
    "ave-widely-padded": pool("AVE", "kernel_size: 4 stride: 3 pad: 3"),
    "ave-clipped": pool("AVE", "kernel_size: 2 stride: 2 pad: 1"),
    "ave-global": pool("AVE", "global_pooling: true"),
    "inner-product": one("InnerProduct", "inner_product_param { num_output: 5 }"),
    "inner-product-transposed": one("InnerProduct", "inner_product_param { num_output: 5 transpose: true }"),
    "inner-product-axis": one("InnerProduct", "inner_product_param { num_output: 5 axis: 2 bias_term: false }"),
    "inner-product-last": one("InnerProduct", "inner_product_param { num_output: 5 axis: -1 }"),
    "relu": one("ReLU"),
    "relu-leaky": one("ReLU", "relu_param { negative_slope: 0.1 }"),
    "relu6": one("ReLU6"),
    "prelu": one("PReLU"),
    "prelu-shared": one("PReLU", "prelu_param { channel_shared: true }"),
    "elu": one("ELU", "elu_param { alpha: 0.7 }"),
    "sigmoid": one("Sigmoid"),
    "tanh": one("TanH"),
    "absval": one("AbsVal"),
    "bnll": one("BNLL"),
    "swish": one("Swish"),
    "clip": one("Clip", "clip_param { min: -0.5 max: 0.5 }"),
    "threshold": one("Threshold", "threshold_param { threshold: 0.2 }"),
    "power": one("Power", "power_param { power: 2 scale: 0.5 shift: 1 }"),
    "power-linear": one("Power", "power_param { scale: 0.5 shift: 1 }"),
    "power-nothing": one("Power"),
    "exp": one("Exp", "exp_param { base: 2 scale: 0.5 shift: 1 }"),
    "exp-natural": one("Exp"),
    "log": layer("AbsVal", "a", "data") + layer("Log", "l", "a", more="log_param { base: 2 scale: 0.5 shift: 1 }"),
    "batch-norm": one("BatchNorm"),
    "batch-norm-eps": one("BatchNorm", "batch_norm_param { use_global_stats: true eps: 0.01 }"),
    "batch-norm-of-the-batch": one("BatchNorm", "batch_norm_param { use_global_stats: false }"),
    "batch-norm-with-scale-and-bias": one("BatchNorm", "batch_norm_param { scale_bias: true }"),
    "scale": one("Scale"),
    "scale-bias": one("Scale", "scale_param { bias_term: true }"),
    "scale-planes": one("Scale", "scale_param { axis: 2 num_axes: 2 bias_term: true }"),
    "scale-all": one("Scale", "scale_param { axis: 0 num_axes: -1 }"),
    "scale-number": one("Scale", "scale_param { num_axes: 0 }"),
    "scale-by-a-blob": POOLED
    + layer("Flatten", "f", "g")
    + layer("Scale", "s", ["data", "f"], more="scale_param { axis: 0 }"),
    "bias": one("Bias"),
    "bias-by-a-blob": layer("Reduction", "r", "data", more="reduction_param { axis: 2 }")
    + layer("Bias", "s", ["data", "r"], more="bias_param { axis: 0 }"),
    "axpy": POOLED + layer("Sigmoid", "q", "data") + layer("Axpy", "s", ["g", "q", "data"]),
    "eltwise-sum": TWO
    + layer("Eltwise", "e", ["a", "b", "data"], more="eltwise_param { coeff: 1 coeff: -0.5 coeff: 2 }"),
    "eltwise-product": TWO + layer("Eltwise", "e", ["a", "b", "data"], more="eltwise_param { operation: PROD }"),
    "eltwise-max": TWO + layer("Eltwise", "e", ["a", "b"], more="eltwise_param { operation: MAX }"),
    "concat": TWO + layer("Concat", "e", ["a", "b"]),
    "concat-axis": TWO + layer("Concat", "e", ["a", "b"], more="concat_param { axis: -2 }"),
    "concat-dim": TWO + layer("Concat", "e", ["a", "b"], more="concat_param { concat_dim: 0 }"),
    "slice": layer("Slice", "s", "data", ["x", "y", "z"]),
    "slice-dim": layer("Slice", "s", "data", ["x", "y"], more="slice_param { slice_dim: 2 slice_point: 4 }"),
    "slice-points": layer("Slice", "s", "data", ["x", "y"], more="slice_param { axis: 2 slice_point: 4 }"),
    "slice-unequal-use": layer("Slice", "s", "data", ["x", "y", "z"])
    + layer("Sigmoid", "q", "y")
    + layer("TanH", "w", "q")
    + conv("c", "w", 6, 3),
    "slice-into-one": layer("Slice", "s", "data", ["x"]),
    "split": layer("Split", "s", "data", ["x", "y"]) + layer("Sigmoid", "q", "y"),
    "silence": layer("Slice", "s", "data", ["x", "y", "z"]) + layer("Silence", "n", "z", []),
    "softmax": one("Softmax"),
    "softmax-last": one("Softmax", "softmax_param { axis: -1 }"),
    "lrn": one("LRN", "lrn_param { local_size: 3 alpha: 0.1 beta: 0.6 }"),
    "lrn-k": one("LRN", "lrn_param { local_size: 5 alpha: 0.1 beta: 0.75 k: 2 }"),
    "lrn-within": one("LRN", "lrn_param { local_size: 3 alpha: 0.5 beta: 0.75 norm_region: WITHIN_CHANNEL }"),
    "dropout": layer("Dropout", "d", "data", "d") + layer("Sigmoid", "s", "d"),
    "flatten": one("Flatten"),
    "flatten-tail": one("Flatten", "flatten_param { axis: 2 }"),
    "flatten-middle": one("Flatten", "flatten_param { axis: 1 end_axis: 2 }"),
    "reshape": one("Reshape", "reshape_param { shape { dim: 0 dim: -1 } }"),
    "reshape-part": one("Reshape", "reshape_param { shape { dim: 0 dim: -1 dim: 1 } axis: 1 num_axes: 2 }"),
    "reshape-insert": one("Reshape", "reshape_param { shape { dim: 1 } axis: -1 num_axes: 0 }"),
    "permute": one("Permute", "permute_param { order: 0 order: 2 order: 3 order: 1 }"),
    "permute-partly": one("Permute", "permute_param { order: 0 order: 2 }"),
    "crop": pool("MAX", "kernel_size: 3 stride: 2")
    + layer("Crop", "c", ["data", "p"], more="crop_param { axis: 2 offset: 2 offset: 1 }"),
    "crop-channels": layer("Slice", "s", "data", ["x", "y"], more="slice_param { slice_point: 1 }")
    + layer("Crop", "c", ["data", "y"], more="crop_param { axis: 1 }"),
    "argmax": one("ArgMax", "argmax_param { axis: 1 }"),
    "argmax-flat": one("ArgMax"),
    "argmax-values": one("ArgMax", "argmax_param { axis: 1 out_max_val: true }"),
    "argmax-several": one("ArgMax", "argmax_param { axis: -1 top_k: 2 }"),
    "argmax-several-values": one("ArgMax", "argmax_param { axis: -1 top_k: 2 out_max_val: true }"),
    "argmax-flat-values": one("ArgMax", "argmax_param { out_max_val: true top_k: 3 }"),
    "reduction-sum": one("Reduction", "reduction_param { axis: 2 }"),
    "reduction-mean": one("Reduction", "reduction_param { operation: MEAN axis: 2 coeff: 3 }"),
    "reduction-asum": one("Reduction", "reduction_param { operation: ASUM axis: 2 }"),
    "reduction-sumsq": one("Reduction", "reduction_param { operation: SUMSQ axis: 1 coeff: 0.01 }"),
    "reduction-all": one("Reduction", "reduction_param { operation: MEAN }"),
    "mvn": one("MVN"),
    "mvn-across": one("MVN", "mvn_param { across_channels: true }"),
    "mvn-mean": one("MVN", "mvn_param { normalize_variance: false }"),
    "mvn-eps": one("MVN", "mvn_param { eps: 0.1 }"),
    "normalize": one("Normalize", "norm_param { across_spatial: false channel_shared: false }"),
    "normalize-all": one("Normalize", "norm_param { across_spatial: true }"),
    "tile": one("Tile", "tile_param { axis: 1 tiles: 3 }"),
    "shuffle": conv("c", "data", 6, 3)
    + layer("ShuffleChannel", "s", "c", more="shuffle_channel_param { group: 3 }"),
    "interp": one("Interp", "interp_param { zoom_factor: 2 }"),
    "interp-size": one("Interp", "interp_param { height: 20 width: 31 }"),
    "interp-shrink": one("Interp", "interp_param { shrink_factor: 2 }"),
    "interp-both": one("Interp", "interp_param { shrink_factor: 2 zoom_factor: 3 }"),
    "upsample": one("Upsample", "upsample_param { scale: 2 }"),
    "in-place": conv("c", "data", 6, 3)
    + layer("Sigmoid", "q", "c")
    + relu("r", "c")
    + layer("Eltwise", "e", ["q", "c"]),
    "in-place-at-the-end": conv("c", "data", 6, 3) + relu("r", "c"),
    "in-place-on-the-input": layer("Power", "p", "data", "data", "power_param { scale: 2 }") + relu("r", "data"),
    "same-name-twice": conv("c", "data", 6, 3) + relu("r", "c") + conv("d", "c", 4, 1) + layer("TanH", "r", "d"),
    "shared-weights": conv("c", "data", 6, 3).replace("top:", 'param { name: "w" } param { name: "b" } top:')
    + layer("TanH", "t", "data")
    + conv("d", "t", 6, 3).replace("top:", 'param { name: "w" } param { name: "b" } top:'),
    "fields-of-a-fork": conv("c", "data", 6, 3).replace(
        "top:", 'quantize_param { bits: 8 inner { a: "x" } } loss_weight: 1 top:'
    ),
    "fillers": one(
        "Convolution",
        'param { lr_mult: 1 decay_mult: 1 } convolution_param { num_output: 6 kernel_size: 3 engine: CUDNN '
        'weight_filler { type: "xavier" std: 0.1 } bias_filler { type: "constant" value: 0.2 } }',
    ),
}  # fmt: skip
"""Layers on an input of (2, 3, 13, 11): odd sizes, so that rounding shows."""

LENET = """
name: "LeNet"
layer { name: "data" type: "Input" top: "data" input_param { shape: { dim: 2 dim: 1 dim: 28 dim: 28 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1" param { lr_mult: 1 } param { lr_mult: 2 }
  convolution_param { num_output: 20 kernel_size: 5 stride: 1 weight_filler { type: "xavier" } } }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "conv2" type: "Convolution" bottom: "pool1" top: "conv2"
  convolution_param { num_output: 50 kernel_size: 5 stride: 1 } }
layer { name: "pool2" type: "Pooling" bottom: "conv2" top: "pool2"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "ip1" type: "InnerProduct" bottom: "pool2" top: "ip1" inner_product_param { num_output: 500 } }
layer { name: "relu1" type: "ReLU" bottom: "ip1" top: "ip1" }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2" inner_product_param { num_output: 10 } }
layer { name: "prob" type: "Softmax" bottom: "ip2" top: "prob" }
"""

FIRE = net(
    conv("conv1", "data", 16, 3, "stride: 2")
    + relu("relu_conv1", "conv1")
    + layer("Pooling", "pool1", "conv1", more="pooling_param { pool: MAX kernel_size: 3 stride: 2 }")
    + conv("fire2/squeeze1x1", "pool1", 4, 1)
    + relu("fire2/relu_squeeze1x1", "fire2/squeeze1x1")
    + conv("fire2/expand1x1", "fire2/squeeze1x1", 16, 1)
    + relu("fire2/relu_expand1x1", "fire2/expand1x1")
    + conv("fire2/expand3x3", "fire2/squeeze1x1", 16, 3, "pad: 1")
    + relu("fire2/relu_expand3x3", "fire2/expand3x3")
    + layer("Concat", "fire2/concat", ["fire2/expand1x1", "fire2/expand3x3"])
    + layer("Dropout", "drop9", "fire2/concat", "fire2/concat", "dropout_param { dropout_ratio: 0.5 }")
    + conv("conv10", "fire2/concat", 10, 1, "pad: 1")
    + relu("relu_conv10", "conv10")
    + layer("Pooling", "pool10", "conv10", more="pooling_param { pool: AVE global_pooling: true }")
    + layer("Softmax", "prob", "pool10"),
    (1, 3, 35, 35),
)

INCEPTION = net(
    conv("conv1/7x7_s2", "data", 8, 7, "pad: 3 stride: 2")
    + relu("conv1/relu_7x7", "conv1/7x7_s2")
    + layer("Pooling", "pool1/3x3_s2", "conv1/7x7_s2", more="pooling_param { pool: MAX kernel_size: 3 stride: 2 }")
    + layer("LRN", "pool1/norm1", "pool1/3x3_s2", more="lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }")
    + conv("inception_3a/1x1", "pool1/norm1", 8, 1)
    + relu("inception_3a/relu_1x1", "inception_3a/1x1")
    + conv("inception_3a/3x3_reduce", "pool1/norm1", 6, 1)
    + relu("inception_3a/relu_3x3_reduce", "inception_3a/3x3_reduce")
    + conv("inception_3a/3x3", "inception_3a/3x3_reduce", 12, 3, "pad: 1")
    + relu("inception_3a/relu_3x3", "inception_3a/3x3")
    + layer("Pooling", "inception_3a/pool", "pool1/norm1", more="pooling_param { kernel_size: 3 stride: 1 pad: 1 }")
    + conv("inception_3a/pool_proj", "inception_3a/pool", 4, 1)
    + layer(
        "Concat", "inception_3a/output", ["inception_3a/1x1", "inception_3a/3x3", "inception_3a/pool_proj"]
    )
    + layer("Pooling", "pool5", "inception_3a/output", more="pooling_param { pool: AVE kernel_size: 5 stride: 3 }")
    + layer("InnerProduct", "classifier", "pool5", more="inner_product_param { num_output: 10 }")
    + layer("Softmax", "prob", "classifier"),
    (2, 3, 46, 46),
)  # fmt: skip


def normed(name: str, bottom: str, outputs: int, kernel: int, more: str = "") -> str:
    """A convolution without bias, its batch norm and scale in place, as ResNets in Caffe have them."""
    return (
        conv(name, bottom, outputs, kernel, f"bias_term: false {more}")
        + layer("BatchNorm", f"bn_{name}", name, name, "batch_norm_param { use_global_stats: true }")
        + layer("Scale", f"scale_{name}", name, name, "scale_param { bias_term: true }")
    )


RESIDUAL = net(
    normed("conv1", "data", 8, 7, "pad: 3 stride: 2")
    + relu("conv1_relu", "conv1")
    + layer("Pooling", "pool1", "conv1", more="pooling_param { kernel_size: 3 stride: 2 pool: MAX }")
    + normed("res2a_branch1", "pool1", 16, 1)
    + normed("res2a_branch2a", "pool1", 8, 1)
    + relu("res2a_branch2a_relu", "res2a_branch2a")
    + normed("res2a_branch2b", "res2a_branch2a", 16, 3, "pad: 1")
    + layer("Eltwise", "res2a", ["res2a_branch1", "res2a_branch2b"])
    + relu("res2a_relu", "res2a")
    + layer("Pooling", "pool5", "res2a", more="pooling_param { kernel_size: 8 stride: 1 pool: AVE }")
    + layer("InnerProduct", "fc", "pool5", more="inner_product_param { num_output: 10 }")
    + layer("Softmax", "prob", "fc"),
    (1, 3, 32, 32),
)

SEGMENTATION = net(
    conv("conv1_1", "data", 8, 3, "pad: 20")
    + relu("relu1_1", "conv1_1")
    + layer("Pooling", "pool1", "conv1_1", more="pooling_param { pool: MAX kernel_size: 2 stride: 2 }")
    + conv("score_fr", "pool1", 5, 1)
    + layer(
        "Deconvolution",
        "upscore",
        "score_fr",
        more="convolution_param { num_output: 5 kernel_size: 4 stride: 2 bias_term: false group: 5 }",
    )
    + layer("Crop", "score", ["upscore", "data"], more="crop_param { axis: 2 offset: 19 }")
    + layer("ArgMax", "classes", "score", more="argmax_param { axis: 1 }"),
    (1, 3, 21, 17),
)

DETECTION = net(
    conv("conv4_3", "data", 8, 3, "pad: 1")
    + relu("relu4_3", "conv4_3")
    + layer(
        "Normalize",
        "conv4_3_norm",
        "conv4_3",
        more="norm_param { across_spatial: false scale_filler { type: 'constant' value: 20 } channel_shared: false }",
    )
    + "".join(
        conv(f"{source}_mbox_{kind}", source, outputs, 3, "pad: 1")
        + layer(
            "Permute",
            f"{source}_mbox_{kind}_perm",
            f"{source}_mbox_{kind}",
            more="permute_param { order: 0 order: 2 order: 3 order: 1 }",
        )
        + layer("Flatten", f"{source}_mbox_{kind}_flat", f"{source}_mbox_{kind}_perm", more="flatten_param { axis: 1 }")
        for source in ("conv4_3_norm", "conv4_3")
        for kind, outputs in (("loc", 16), ("conf", 12))
    )
    + layer("Concat", "mbox_loc", ["conv4_3_norm_mbox_loc_flat", "conv4_3_mbox_loc_flat"])
    + layer("Concat", "mbox_conf", ["conv4_3_norm_mbox_conf_flat", "conv4_3_mbox_conf_flat"])
    + layer(
        "Reshape", "mbox_conf_reshape", "mbox_conf", more="reshape_param { shape { dim: 0 dim: -1 dim: 3 } }"
    )
    + layer("Softmax", "mbox_conf_softmax", "mbox_conf_reshape", more="softmax_param { axis: 2 }")
    + layer("Flatten", "mbox_conf_flatten", "mbox_conf_softmax", more="flatten_param { axis: 1 }"),
    (2, 3, 9, 7),
)  # fmt: skip

VERSION_1 = """
name: "AlexNet"
input: "data"
input_dim: 2
input_dim: 3
input_dim: 39
input_dim: 35
layers { name: "conv1" type: CONVOLUTION bottom: "data" top: "conv1" blobs_lr: 1 blobs_lr: 2 weight_decay: 1
  convolution_param { num_output: 8 kernel_size: 11 stride: 4 } }
layers { name: "relu1" type: RELU bottom: "conv1" top: "conv1" }
layers { name: "norm1" type: LRN bottom: "conv1" top: "norm1" lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 } }
layers { name: "pool1" type: POOLING bottom: "norm1" top: "pool1"
  pooling_param { pool: MAX kernel_size: 3 stride: 2 } }
layers { name: "conv2" type: CONVOLUTION bottom: "pool1" top: "conv2"
  convolution_param { num_output: 8 pad: 2 kernel_size: 5 group: 2 } }
layers { name: "abs" type: ABSVAL bottom: "conv2" top: "abs" }
layers { name: "power" type: POWER bottom: "abs" top: "power" power_param { power: 0.5 shift: 0.1 } }
layers { name: "fc6" type: INNER_PRODUCT bottom: "power" top: "fc6" inner_product_param { num_output: 16 } }
layers { name: "relu6" type: RELU bottom: "fc6" top: "fc6" }
layers { name: "drop6" type: DROPOUT bottom: "fc6" top: "fc6" dropout_param { dropout_ratio: 0.5 } }
layers { name: "fc8" type: INNER_PRODUCT bottom: "fc6" top: "fc8" inner_product_param { num_output: 10 } }
layers { name: "prob" type: SOFTMAX bottom: "fc8" top: "prob" }
"""

TRAINING = """
name: "training"
layer { name: "mnist" type: "Data" top: "data" top: "label" include { phase: TRAIN }
  data_param { source: "train_lmdb" batch_size: 64 backend: LMDB } }
layer { name: "memory" type: "MemoryData" top: "data" top: "label" include { phase: TEST }
  memory_data_param { batch_size: 3 channels: 1 height: 12 width: 12 } transform_param { scale: 0.00390625 } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 4 kernel_size: 5 } }
layer { name: "noise" type: "Dropout" bottom: "conv1" top: "conv1" include { phase: TRAIN } }
layer { name: "sharpen" type: "Power" bottom: "conv1" top: "conv1" power_param { scale: 2 } exclude { phase: TRAIN } }
layer { name: "stage" type: "Power" bottom: "conv1" top: "conv1" power_param { scale: 9 } include { stage: "extra" } }
layer { name: "fc" type: "InnerProduct" bottom: "conv1" top: "fc" inner_product_param { num_output: 5 } }
layer { name: "accuracy" type: "Accuracy" bottom: "fc" bottom: "label" top: "accuracy" include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }
"""

CLASSIC = {
    "lenet": LENET,
    "fire": FIRE,
    "inception": INCEPTION,
    "residual": RESIDUAL,
    "segmentation": SEGMENTATION,
    "detection": DETECTION,
    "version-1": VERSION_1,
    "training": TRAINING,
}
