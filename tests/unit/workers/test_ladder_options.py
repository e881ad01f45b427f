"""The ladder's list of options about quantisation is that of the backends."""

from __future__ import annotations

import re

import pytest

from enginehouse.ladder import KEEPING, QUANTIZING
from workers.backends.litert.options import LiteRtOptions
from workers.backends.onnxruntime import OnnxRuntimeOptions
from workers.backends.openvino.options import OpenVinoOptions
from workers.backends.tensorrt.options import TensorRtOptions

OPTIONS = (LiteRtOptions, OnnxRuntimeOptions, OpenVinoOptions, TensorRtOptions)


@pytest.mark.parametrize("options", OPTIONS)
def test_every_option_for_int8_alone_is_in_the_list(options):
    said = {name: field.description or "" for name, field in options.model_fields.items()}
    alone = {name for name, text in said.items() if re.match(r"(static |quantization=|int8|int4)[^:]*:", text)}
    assert alone <= QUANTIZING


def test_the_list_names_no_option_that_no_backend_has():
    known = {name for options in OPTIONS for name in options.model_fields}
    assert known >= QUANTIZING | KEEPING
