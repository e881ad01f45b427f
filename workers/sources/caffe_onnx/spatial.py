"""Layers that look at a neighbourhood: convolutions, poolings, local responses, resizing, cropping."""

from __future__ import annotations

from protos.caffe import windows
from protos.caffe.shapes import crop_offsets
from workers.sources.caffe_onnx.graph import Step


def _convolution(step: Step) -> None:
    weights = [step.constant(blob, what) for blob, what in zip(step.blobs, ("weight", "bias"), strict=False)]
    transposed = step.layer.type == "Deconvolution"
    for index, (bottom, shape) in enumerate(zip(step.layer.bottoms, step.bottoms, strict=True)):
        window = windows.convolution(step.layer, shape, transposed=transposed)
        step.last(
            "ConvTranspose" if transposed else "Conv",
            [bottom, *weights],
            index,
            kernel_shape=window.kernel,
            strides=window.stride,
            pads=window.pad + window.end,
            dilations=window.dilation,
            group=step.param.convolution_param.group,
        )


def _pooling(step: Step) -> None:
    param = step.param.pooling_param
    if len(step.tops) > 1:
        raise step.refused("gives the places of its maxima as a second top", "Take the second top out.")
    if param.pool == 2:
        raise step.refused("pools at random (STOCHASTIC)", "Use MAX or AVE pooling for inference.")
    average = param.pool == 1
    if param.global_pooling:
        step.last("GlobalAveragePool" if average else "GlobalMaxPool", [step.x])
        return
    window = windows.pooling(step.layer, step.shape)
    x, pads = step.x, window.pad + window.end
    counted = 1
    if average and window.overhang():
        # Caffe counts the padding into the mean, but not what rounding up adds beyond it.
        counted = 0
        if any(window.pad):
            even = step.integers([0, 0, *window.pad, 0, 0, *window.pad], "pads")
            x = step.inner("Pad", [x, even])
            rest = [max(0, end - pad) for pad, end in zip(window.pad, window.end, strict=True)]
            pads = (0, 0, *rest)
    more = {"count_include_pad": counted} if average else {}
    step.last(
        "AveragePool" if average else "MaxPool",
        [x],
        kernel_shape=window.kernel,
        strides=window.stride,
        pads=pads,
        **more,
    )


def _lrn(step: Step) -> None:
    param = step.param.lrn_param
    size = param.local_size
    if size % 2 == 0:
        raise step.refused(f"local_size {size} is even", "Caffe takes odd sizes only.")
    if param.norm_region == 0:
        step.last("LRN", [step.x], size=size, alpha=param.alpha, beta=param.beta, bias=param.k)
        return
    # Within a channel Caffe pools the squares with padding that counts, and takes 1 for k.
    squares = step.inner("Mul", [step.x, step.x])
    mean = step.inner(
        "AveragePool", [squares], kernel_shape=[size, size], pads=[(size - 1) // 2] * 4, count_include_pad=1
    )
    scaled = step.inner("Mul", [mean, step.constant(param.alpha, "alpha")])
    power = step.inner(
        "Pow", [step.inner("Add", [scaled, step.constant(1.0, "one")]), step.constant(param.beta, "beta")]
    )
    step.last("Div", [step.x, power])


def _crop(step: Step) -> None:
    cuts = crop_offsets(step.layer, step.shape)
    axes = [axis for axis, _ in cuts]
    step.last(
        "Slice",
        [
            step.x,
            step.integers([offset for _, offset in cuts], "starts"),
            step.integers([offset + step.tops[0][axis] for axis, offset in cuts], "ends"),
            step.integers(axes, "axes"),
        ],
    )


def _upsample(step: Step) -> None:
    factor = float(step.param.upsample_param.scale)
    scales = step.constant([1.0, 1.0, factor, factor], "scales")
    step.last(
        "Resize",
        [step.x, "", scales],
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )


def _interp(step: Step) -> None:
    sizes = step.integers(step.tops[0], "sizes")
    step.last("Resize", [step.x, "", "", sizes], mode="linear", coordinate_transformation_mode="align_corners")


RULES = {
    "Convolution": _convolution,
    "Crop": _crop,
    "Deconvolution": _convolution,
    "Interp": _interp,
    "LRN": _lrn,
    "Pooling": _pooling,
    "Upsample": _upsample,
}
