"""Clients that submit small real builds without a pause, take a refusal for what it is, and write down each promise."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from chaos.ledger import Ledger, Promise
from chaos.stack import Stack
from enginehouse.client import Client, job_request
from enginehouse.connection import pause
from enginehouse.errors import EnginehouseError
from enginehouse.request import JobRequest
from enginehouse.views import JobView

TARGETS = ("onnxruntime:fp32", "openvino:fp32")
AGAIN, RESENT = 0.12, 0.12
"""Shares of submissions that ask for what was asked for before, and that send an accepted request once more."""
_PATIENCE_S = 300.0
_ACTIVATIONS = ("Relu", "Sigmoid", "Tanh")

Answer = TypeVar("Answer")


def tiny(chance: random.Random) -> bytes:
    """A network of two layers with weights of its own: no two are the same, so none is found in the cache."""
    numbers = np.random.default_rng(chance.getrandbits(64))
    wide = chance.choice((8, 16, 24))
    weights = {
        "w1": numbers.standard_normal((8, wide), dtype=np.float32),
        "b1": numbers.standard_normal(wide, dtype=np.float32),
        "w2": numbers.standard_normal((wide, 4), dtype=np.float32),
    }
    nodes = [
        helper.make_node("Gemm", ["x", "w1", "b1"], ["h"]),
        helper.make_node(chance.choice(_ACTIVATIONS), ["h"], ["a"]),
        helper.make_node("MatMul", ["a", "w2"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(made)
    content: bytes = made.SerializeToString()
    return content


class Load:
    """``threads`` clients that submit until ``finish``, but never more than ``ahead`` jobs before the farm.

    Every refusal is repeated with the same idempotency key until it is accepted: then it is a promise.
    """

    def __init__(self, stack: Stack, ledger: Ledger, seed: int, *, ahead: int, threads: int = 2) -> None:
        self.refused: Counter[str] = Counter()
        self.longest_acceptance_s = 0.0
        self.broke: list[BaseException] = []
        self._stack = stack
        self._ledger = ledger
        self._ahead = ahead
        self._ending = threading.Event()
        self._abandoned = threading.Event()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._run, args=(random.Random(f"{seed}/{number}"),), name=f"load-{number}")
            for number in range(threads)
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def finish(self, *, abandon: bool = False) -> None:
        """Submit nothing new; what has been sent is repeated until it is accepted, or abandoned."""
        self._ending.set()
        if abandon:
            self._abandoned.set()
        for thread in self._threads:
            thread.join()

    def _run(self, chance: random.Random) -> None:
        try:
            with self._stack.client() as client:
                while not self._ending.is_set():
                    if self._ledger.outstanding(self._stack) >= self._ahead:
                        self._ending.wait(0.2)
                        continue
                    self._submit(client, chance)
        except BaseException as error:  # noqa: BLE001 - shown at the end: a client that dies is a failure of the suite
            self.broke.append(error)

    def _submit(self, client: Client, chance: random.Random) -> None:
        what, before = chance.random(), self._ledger.any(chance)
        if before is not None and what < RESENT:
            answer = self._until_taken(lambda: _post(client, before.request, before.key), chance)
            self._ledger.resent(before, answer)
            return
        if before is not None and what < RESENT + AGAIN:
            request, content = before.request, before.content
        else:
            content = tiny(chance)
            model = self._until_taken(lambda: client.models.push(content, name="tiny.onnx"), chance)
            request = job_request(model=model.id, targets=list(TARGETS), benchmark=False)
        key = str(uuid.UUID(int=chance.getrandbits(128)))
        answer = self._until_taken(lambda: _post(client, request, key), chance)
        self._ledger.promised(Promise(answer.id, key, request, content, time.time()))

    def _until_taken(self, call: Callable[[], Answer], chance: random.Random) -> Answer:
        began, tries = time.monotonic(), 0
        while True:
            try:
                answer = call()
            except EnginehouseError as error:
                final = error.status < 500 and error.status != 429
                if final or self._abandoned.is_set() or time.monotonic() - began > _PATIENCE_S:
                    raise
                with self._lock:
                    self.refused[error.code] += 1
            else:
                with self._lock:
                    self.longest_acceptance_s = max(self.longest_acceptance_s, time.monotonic() - began)
                return answer
            time.sleep(pause(min(tries, 4), None, chance.random()))
            tries += 1


def _post(client: Client, request: JobRequest, key: str) -> JobView:
    """One try of one submission, so that each refusal is seen."""
    headers: dict[str, Any] = {"Idempotency-Key": key}
    return client.connection.post("/v1/jobs", JobView, body=request, headers=headers, tries=1)
