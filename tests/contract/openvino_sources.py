"""One small network, a convolution with batch norm and ReLU before a dense layer, in all formats but ONNX."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from contract.backends_models import HARDWARE

from enginehouse.request import Recipe
from enginehouse.targets import parse_target
from scheduler.inspection.model import read_model
from workers.pipeline import Order


def torch_files(folder: Path) -> None:
    """net.pt2 (batch free) and net.pt (scripted: its shapes are unknown)."""
    import torch

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 8, 3, padding=1)
            self.bn = torch.nn.BatchNorm2d(8)
            self.fc = torch.nn.Linear(8, 10)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            found = torch.relu(self.bn(self.conv(image)))
            return torch.softmax(self.fc(found.mean((2, 3))), 1)

    torch.manual_seed(0)
    net = Net().eval()
    batch = {"image": {0: torch.export.Dim("batch")}}
    torch.export.save(torch.export.export(net, (torch.rand(2, 3, 16, 16),), dynamic_shapes=batch), folder / "net.pt2")
    torch.jit.script(net).save(str(folder / "net.pt"))  # type: ignore[no-untyped-call]


def tensorflow_files(folder: Path) -> None:
    """net.keras, net.zip (a SavedModel) and net.tflite, and a Keras model with two inputs and outputs."""
    from workers.sources.tf_runtime import tensorflow

    tf = tensorflow()
    import keras

    keras.utils.set_random_seed(0)
    image = keras.Input((16, 16, 3), name="image")
    found = keras.layers.Conv2D(8, 3, padding="same", name="conv")(image)
    found = keras.layers.ReLU(name="relu")(keras.layers.BatchNormalization(name="bn")(found))
    found = keras.layers.GlobalAveragePooling2D(name="pool")(found)
    net = keras.Model(image, keras.layers.Dense(10, activation="softmax", name="dense")(found))
    net.save(folder / "net.keras")
    net.export(folder / "saved", verbose=False)
    shutil.make_archive(str(folder / "net"), "zip", folder / "saved")
    (folder / "net.tflite").write_bytes(tf.lite.TFLiteConverter.from_saved_model(str(folder / "saved")).convert())
    zeta, alpha = keras.Input((4,), name="zeta"), keras.Input((4,), name="alpha")
    both = [keras.layers.Subtract(name="less")([zeta, alpha]), keras.layers.Multiply(name="times")([zeta, alpha])]
    keras.Model([zeta, alpha], both).save(folder / "two.keras")


def order_of(path: Path, target: str, work: Path, **recipe: Any) -> Order:
    """An order with the signature that the farm's inspection gives."""
    work.mkdir(parents=True, exist_ok=True)
    options = recipe.pop("options", {})
    wanted = parse_target(target).model_copy(update={"options": options})
    return Order(
        recipe=Recipe(model="0" * 64, target=wanted, **recipe),
        signature=read_model([(path.name, path)]),
        model=path,
        work=work,
        hardware=HARDWARE,
        threads=1,
        benchmark_s=0.05,
    )
