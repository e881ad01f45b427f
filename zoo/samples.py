"""Samples that real models may meet: pictures, lines cut out of them, the bytes of files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

SAMPLES = 32


def photographs() -> list[np.ndarray]:
    """Two photographs that scikit-learn brings (CC BY 2.0, see its images/README.txt): uint8 [height, width, 3]."""
    from PIL import Image
    from sklearn import datasets

    folder = Path(datasets.__file__).parent / "images"
    return [np.asarray(Image.open(folder / name).convert("RGB")) for name in ("china.jpg", "flower.jpg")]


def crops(height: int, width: int, mean: tuple[float, ...], std: tuple[float, ...]) -> np.ndarray:
    """Pieces of the photographs as the PP-OCR models are fed: float32 [samples, 1, 3, height, width]."""
    random = np.random.default_rng(11)
    pictures = photographs()
    found = []
    for index in range(SAMPLES):
        picture = pictures[index % len(pictures)]
        top = random.integers(0, picture.shape[0] - height + 1)
        left = random.integers(0, picture.shape[1] - width + 1)
        piece = picture[top : top + height, left : left + width].astype(np.float32) / 255
        scaled = (piece - np.array(mean, np.float32)) / np.array(std, np.float32)
        found.append(scaled.transpose(2, 0, 1)[None])
    return np.stack(found).astype(np.float32)


def files() -> np.ndarray:
    """The beginnings and ends of Python's own source files, as magika reads a file: int32 [samples, 1, 2048]."""
    found = []
    for path in sorted(Path(np.__file__).parent.rglob("*.*"))[: SAMPLES * 7 : 7]:
        data = path.read_bytes() if path.is_file() else b""
        row = np.full(2048, 256, np.int32)
        first, last = data[:1024], data[-1024:]
        row[: len(first)] = np.frombuffer(first, np.uint8)
        row[2048 - len(last) :] = np.frombuffer(last, np.uint8)
        found.append(row[None])
    return np.stack(found)


def voices(length: int) -> dict[str, np.ndarray]:
    """Chirps and noise for a voice model at rest: nothing recorded is at hand."""
    random = np.random.default_rng(13)
    time = np.arange(length) / 16000
    waves = [
        0.3 * np.sin(2 * np.pi * (100 + 40 * index) * time) + random.normal(0, 0.02, length) for index in range(SAMPLES)
    ]
    return {
        "input": np.stack(waves).astype(np.float32)[:, None],
        "state": np.zeros((SAMPLES, 2, 1, 128), np.float32),
    }


IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))

SAMPLED = {
    "ppocr-det": lambda: {"x": crops(320, 320, *IMAGENET)},
    "ppocr-rec": lambda: {"x": crops(48, 320, *HALF)},
    "ppocr-cls": lambda: {"x": crops(48, 192, *HALF)},
    "magika": lambda: {"bytes": files()},
    "silero-vad": lambda: voices(576) | {"sr": np.full(SAMPLES, 16000, np.int64)},
    "silero-vad-ifless": lambda: voices(576) | {"sr": np.full(SAMPLES, 16000, np.int64)},
    "silero-vad-openvino": lambda: voices(576),
}
"""Model of the zoo to its samples: input name to array, the first axis counts the samples."""
