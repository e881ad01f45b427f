"""The engine inspector's answers as layers, and engines compared with what was asked for.

The texts follow what NVIDIA publishes: the recorded plans of its engine explorer (8 to 10), and the page on migrating
inspector code to 11. None of them was taken on a machine of ours.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from enginehouse.shapes import ShapeRange
from enginehouse.signature import TensorSpec
from enginehouse.targets import Precision
from workers.backends.tensorrt.inspector import EngineLayer, engine_layers, table, word
from workers.backends.tensorrt.options import TensorRtOptions
from workers.backends.tensorrt.plan import plan_of
from workers.backends.tensorrt.readback import Asked, EngineFacts, Tensor, differences, precision_differences, summary
from workers.pipeline.layers import with_shares, without_layer

TEN = {
    "Layers": [
        {
            "Name": "x_QuantizeLinear",
            "LayerType": "Reformat",
            "Inputs": [{"Name": "x", "Dimensions": [1, 3, 224, 224], "Format/Datatype": "Row major linear FP32"}],
            "Outputs": [
                {
                    "Name": "x_q",
                    "Dimensions": [1, 3, 224, 224],
                    "Format/Datatype": "Four wide channel vectorized row major Int8 format",
                }
            ],
            "ParameterType": "Reformat",
            "Origin": "QDQ",
            "TacticValue": "0x0000000000000000",
            "StreamId": 0,
            "Metadata": "[ONNX Layer: x_QuantizeLinear]",
        },
        {
            "Name": "w + w_QuantizeLinear + conv + PWN(relu)",
            "LayerType": "CaskConvolution",
            "Inputs": [
                {
                    "Name": "x_q",
                    "Location": "Device",
                    "Dimensions": [1, 3, 224, 224],
                    "Format/Datatype": "Four wide channel vectorized row major Int8 format",
                }
            ],
            "Outputs": [
                {
                    "Name": "r",
                    "Location": "Device",
                    "Dimensions": [1, 32, 112, 112],
                    "Format/Datatype": "Channel major FP16 format where channel % 8 == 0",
                }
            ],
            "ParameterType": "Convolution",
            "Kernel": [3, 3],
            "Weights": {"Type": "Int8", "Count": 864},
            "Bias": {"Type": "Float", "Count": 32},
            "HasSparseWeights": 0,
            "TacticName": "sm80_xmma_fprop_implicit_gemm_interleaved_i8f16_i8i32_f32_nchw_vect_c_32kcrs",
            "TacticValue": "0x10d7116a3fad9b7a",
            "StreamId": 0,
            "Metadata": "[ONNX Layer: w_Quantize]\x1e[ONNX Layer: conv]\x1f[ONNX Layer: bn]\x1f[ONNX Layer: relu]",
        },
        {
            "Name": "__myl_MulAdd_myl0_0",
            "LayerType": "kgen",
            "Inputs": [{"Name": "r", "Dimensions": [1, 32], "Format/Datatype": "Half"}],
            "Outputs": [{"Name": "y", "Dimensions": [1, 32], "Format/Datatype": "Float"}],
            "TacticName": "__myl_MulAdd_0x5b2c",
            "StreamId": 0,
            "Metadata": "[ONNX Layer: /blocks[0]/Mul][ONNX Layer: node_of_sum]",
        },
    ],
    "Bindings": ["x", "y"],
}

ELEVEN = {
    "Layers": [
        {
            "Name": "conv + relu",
            "LayerType": "CaskConvolution",
            "Inputs": [
                {
                    "Name": "x",
                    "Dimensions": [1, 3, 224, 224],
                    "Format": "Row major linear FP16 format (kLINEAR)",
                    "DataType": "Half",
                    "Location": "Device",
                }
            ],
            "Outputs": [{"Name": "r", "Dimensions": [1, 8, 224, 224], "Format": "kHWC8", "Datatype": "FP16"}],
            "ParameterType": "Convolution",
            "Weights": {"Type": "Half", "Count": 216},
            "TacticName": "sm90_xmma_fprop_implicit_gemm_f16f16_f16f32_f32",
            "Metadata": "[ONNX Layer: conv]\u001f[ONNX Layer: bn]\u001f[ONNX Layer: relu]",
        },
        {
            "Name": "matmul",
            "LayerType": "gemm",
            "Inputs": [{"Name": "r", "Format": "kLINEAR", "DataType": "Float"}],
            "Outputs": [{"Name": "y", "Format": "kLINEAR", "DataType": "Float"}],
            "TacticName": "sm80_xmma_gemm_f32f32_tf32f32_f32_nn_n_tilesize128x128x16",
            "Metadata": "[ONNX Layer: matmul]",
        },
    ],
    "I/O Tensors": [{"Name": "x", "IOMode": "Input", "DataType": "Float", "Dimensions": [1, 3, 224, 224]}],
}


def test_layers_of_tensorrt_10() -> None:
    quantize, conv, fused = engine_layers(json.dumps(TEN))
    assert (quantize.inputs, quantize.outputs, quantize.precision) == (("fp32",), ("int8",), "fp32")
    assert (conv.inputs, conv.outputs, conv.weights, conv.precision) == (("int8",), ("fp16",), "int8", "int8")
    assert conv.nodes == ("w_Quantize", "conv", "bn", "relu")
    assert (fused.inputs, fused.precision, fused.nodes) == (("fp16",), "fp16", ("/blocks[0]/Mul", "sum"))


def test_layers_of_tensorrt_11() -> None:
    conv, matmul = engine_layers(json.dumps(ELEVEN))
    assert (conv.inputs, conv.outputs, conv.weights, conv.precision) == (("fp16",), ("fp16",), "fp16", "fp16")
    assert (matmul.inputs, matmul.precision) == (("fp32",), "tf32")
    assert conv.nodes == ("conv", "bn", "relu")


def test_a_convolution_its_batch_norm_and_its_relu_are_one_executed_layer() -> None:
    rows = with_shares(table(engine_layers(json.dumps(ELEVEN)), {"conv + relu": 30.0, "matmul": 10.0}))
    conv = rows[0]
    assert conv.fused == ["conv", "bn", "relu"]
    assert (conv.precision, conv.time_us, conv.share) == ("fp16", 30.0, 0.75)
    assert without_layer(["conv", "bn", "relu", "matmul", "dropout"], rows) == ["dropout"]


def test_an_engine_without_detail_tells_names_only() -> None:
    assert engine_layers('{"Layers": ["conv + relu", "matmul"], "Bindings": ["x"]}') == [
        EngineLayer("conv + relu", ""),
        EngineLayer("matmul", ""),
    ]
    for text in ("[]", '{"Layers": 3}', "no JSON"):
        with pytest.raises(ValueError, match=r"Layers|Expecting"):
            engine_layers(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Row major linear FP32", "fp32"), ("Half", "fp16"), ("Float", "fp32"), ("BFloat16", "bf16"), ("BF16", "bf16"),
        ("Thirty-two wide channel vectorized row major Int8 format", "int8"), ("FP8", "fp8"), ("Int64", "int64"),
        ("Channel major FP16 format where channel % 8 == 0", "fp16"), ("Bool", "bool"), ("", ""), ("kLINEAR", ""),
    ],
)  # fmt: skip
def test_type_words(text: str, expected: str) -> None:
    assert word(text) == expected


X = TensorSpec(name="x", dtype="float32", shape=["n", 3, 8, 8])
Y = TensorSpec(name="y", dtype="float32", shape=["n", 10])
PROFILE = {"x": ShapeRange(min=(1, 3, 8, 8), opt=(2, 3, 8, 8), max=(4, 3, 8, 8))}
HALF = EngineLayer("conv", "CaskConvolution", ("fp16",), ("fp16",), "fp16", nodes=("conv",))
FLOAT = EngineLayer("fc", "gemm", ("fp32",), ("fp32",), "fp32", nodes=("fc",))


def asked(precision: Precision = Precision.FP16, **changes: Any) -> Asked:
    options = TensorRtOptions(**changes.pop("options", {}))
    base = Asked(precision, plan_of(precision, options), (X,), (Y,), (PROFILE,))
    return replace(base, **changes)


def built(**changes: Any) -> EngineFacts:
    base = EngineFacts(
        inputs=(Tensor("x", "float32", (-1, 3, 8, 8)),),
        outputs=(Tensor("y", "float32", (-1, 10)),),
        profiles=(PROFILE,),
        hardware_compatibility="none",
        refittable=False,
        aux_streams=0,
        detailed=True,
        layers=(HALF,),
    )
    return replace(base, **changes)


def test_an_engine_that_is_what_was_asked_for() -> None:
    assert differences(asked(), built()) == []


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"inputs": ()}, "it has no input 'x'"),
        ({"inputs": (Tensor("x", "float16", (-1, 3, 8, 8)),)}, "its input 'x' is float16, not float32"),
        ({"inputs": (Tensor("x", "float32", (-1, 4, 8, 8)),)}, "its input 'x' is [-1, 4, 8, 8], not ['n', 3, 8, 8]"),
        ({"inputs": (Tensor("x", "float32", (3, 8, 8)),)}, "its input 'x' is [3, 8, 8]"),
        ({"outputs": (Tensor("z", "float32", (-1, 10)),)}, "it has no output 'y'"),
        ({"outputs": (Tensor("z", "float32", (-1, 10)),)}, "it has an output 'z' that the model has not"),
        ({"profiles": ({},)}, "optimisation profiles"),
        ({"hardware_compatibility": "ampere_plus"}, "its hardware compatibility is ampere_plus, not none"),
        ({"detailed": False}, "detailed layer information"),
        ({"layers": ()}, "it tells no layers"),
    ],
)
def test_each_difference_is_told(changes: dict[str, Any], says: str) -> None:
    assert any(says in one for one in differences(asked(), built(**changes)))


def test_options_that_were_not_kept() -> None:
    assert differences(asked(options={"refit": "any"}), built()) == ["its weights cannot be refitted"]
    assert differences(asked(options={"aux_streams": 1}), built(aux_streams=2)) == [
        "it uses 2 auxiliary streams, at most 1 were asked for"
    ]
    assert differences(asked(options={"aux_streams": 2}), built(aux_streams=1)) == []


def test_an_input_that_nothing_reads_may_be_gone() -> None:
    assert differences(asked(unused=frozenset({"x"})), built(inputs=(), profiles=({},))) == []
    assert differences(asked(unused=frozenset({"x"})), built()) == []
    other = {"x": PROFILE["x"].model_copy(update={"max": (9, 3, 8, 8)})}
    assert differences(asked(unused=frozenset({"x"})), built(profiles=(other,)))


def layer(**changes: Any) -> EngineLayer:
    return replace(HALF, **changes)


@pytest.mark.parametrize(
    ("precision", "layers", "says"),
    [
        (Precision.FP16, (HALF, FLOAT), "1 layers have weights that are not fp16: fc"),
        (Precision.FP16, (FLOAT,), "none of its layers computes in fp16"),
        (Precision.FP16, (HALF, layer(weights="int8", inputs=("int8",))), "weights that are not fp16"),
        (Precision.FP16, (HALF, layer(weights="", inputs=("bf16",))), "1 layers use bf16"),
        (Precision.BF16, (HALF,), "none of its layers computes in bf16"),
        (Precision.FP32, (HALF,), "1 layers use fp16, which was not asked for: conv"),
        (Precision.FP32, (layer(inputs=("fp32",), outputs=("fp32",), weights="fp32", tactic="gemm_tf32f32"),), "tf32"),
        (Precision.FP32, (FLOAT, layer(weights="int8", inputs=("int8",), outputs=("fp32",))), "use int8"),
        (Precision.TF32, (HALF,), "use fp16"),
        (Precision.INT8, (HALF, FLOAT), "none of its layers computes in int8"),
        (Precision.FP8, (layer(weights="int8", inputs=("int8",)),), "none of its layers computes in fp8"),
        (Precision.INT8, (layer(weights="int8", inputs=("int8",)), layer(inputs=("bf16",))), "use bf16"),
    ],
)
def test_a_precision_that_was_not_kept(precision: Precision, layers: tuple[EngineLayer, ...], says: str) -> None:
    found = precision_differences(asked(precision, float_type="fp16"), layers)
    assert any(says in one for one in found), found


@pytest.mark.parametrize(
    ("precision", "layers", "changes"),
    [
        (Precision.FP16, (HALF, FLOAT), {"kept_float": frozenset({"fc"})}),
        (Precision.FP16, (HALF, replace(FLOAT, nodes=())), {"kept_float": frozenset({"elsewhere"})}),
        (Precision.FP16, (HALF, replace(FLOAT, type="Constant")), {}),
        (Precision.FP16, (HALF, replace(FLOAT, weights="")), {}),  # a reformat, a cast at the border
        (Precision.FP32, (FLOAT,), {}),
        (Precision.FP32, (HALF,), {"source_types": frozenset({"fp32", "fp16"})}),
        (Precision.FP32, (layer(type="kgen", inputs=("int8",), outputs=("fp32",), weights=""),), {}),  # plain integers
        (Precision.TF32, (FLOAT, replace(FLOAT, tactic="gemm_tf32f32")), {}),
        (Precision.INT8, (layer(weights="int8", inputs=("int8",)), HALF, FLOAT), {"float_type": "fp16"}),
        (Precision.FP8, (layer(weights="", inputs=("fp8",), outputs=("fp32",)), FLOAT), {}),
        (Precision.INT8, engine_layers(json.dumps(TEN)), {"float_type": "fp16"}),
    ],
)
def test_a_precision_that_was_kept(precision: Precision, layers: Any, changes: dict[str, Any]) -> None:
    assert precision_differences(asked(precision, **changes), layers) == []


def test_the_summary_counts() -> None:
    assert summary(engine_layers(json.dumps(TEN))) == "of 3 executed layers 1 in fp32, 1 in int8, 1 in fp16"
    assert summary([EngineLayer("a", "")]) == "of 1 executed layers none tells its precision"
