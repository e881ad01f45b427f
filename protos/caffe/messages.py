"""The message classes that ``caffe.proto`` beside this file describes."""

from __future__ import annotations

from pathlib import Path

from protos.describe import messages

MESSAGES = messages(Path(__file__).with_name("caffe.proto"))
