"""Toolchain caches over HTTP: the routes, and the agent's half against the API as it runs in production."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from flask.testing import FlaskClient
from integration.api.support import WORKER, Served, is_problem, sha, with_token

from api.app import create_app
from enginehouse.work import KEPT_BYTES, kept_key
from scheduler.farm import Farm
from workers.backends.kept import Kept
from workers.farm_client import FarmClient
from workers.kept import Lent

if TYPE_CHECKING:
    from services.s3 import S3Bucket

LABEL = "tensorrt timing cache | NVIDIA H200 | compute capability 9.0 | TensorRT 11.4.0.106 | CUDA 13.0"
KEY = kept_key(LABEL)
PATH = f"/v1/work/caches/{KEY}"


def put(client: FlaskClient, data: bytes, number: int, **changes: Any) -> Any:
    query = {"label": LABEL, "version": number, "sha256": sha(data)} | changes
    return client.put(PATH, query_string=query, data=data, content_type="application/octet-stream")


def test_given_a_cache_i_expect_it_back_with_its_version(worker: FlaskClient, admin: FlaskClient) -> None:
    is_problem(worker.get(PATH), 404, "request.not_found")
    is_problem(worker.get(f"{PATH}/content"), 404, "request.not_found")
    answer = put(worker, b"timings", 0)
    assert answer.status_code == 200, answer.text
    assert answer.json == worker.get(PATH).json
    assert (answer.json["version"], answer.json["size"], answer.json["sha256"]) == (1, 7, sha(b"timings"))
    got = worker.get(answer.json["url"])
    assert (got.status_code, got.data) == (200, b"timings")
    assert got.headers["X-Content-SHA256"] == sha(b"timings")
    for method in (admin.get, admin.put):
        is_problem(method(PATH), 403, "request.forbidden")


def test_given_a_stale_version_i_expect_a_conflict_that_names_the_newest(worker: FlaskClient) -> None:
    put(worker, b"one", 0)
    assert is_problem(put(worker, b"two", 0), 409, "request.conflict")["where"]["version"] == 1
    assert put(worker, b"two", 1).json["version"] == 2


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"version": -1}, 422), ({"version": "x"}, 422), ({"label": ""}, 422), ({"label": "x" * 301}, 422),
        ({"label": "other"}, 422), ({"label": "no\nline"}, 422), ({"sha256": "0" * 64}, 422), ({"more": 1}, 422),
    ],
)  # fmt: skip
def test_given_a_wrong_query_i_expect_nothing_to_be_kept(worker: FlaskClient, changes: Any, status: int) -> None:
    is_problem(put(worker, b"one", 0, **changes), status)
    is_problem(worker.get(PATH), 404)


def test_given_too_many_bytes_i_expect_413(worker: FlaskClient) -> None:
    is_problem(put(worker, bytes(KEPT_BYTES + 1), 0), 413, "request.too_large")
    is_problem(worker.get(PATH), 404)


def test_given_s3_i_expect_the_bytes_to_come_from_the_store(lite: Callable[..., Farm], s3: S3Bucket) -> None:
    farm = lite(store=s3.store, s3_endpoint=s3.endpoint, s3_access_key=s3.access_key, s3_secret_key=s3.secret_key)
    client = with_token(create_app(farm.settings, farm), WORKER)
    put(client, b"timings", 0)
    url = client.get(PATH).json["url"]
    assert url.startswith("http")
    assert httpx2.get(url, trust_env=False).content == b"timings"


@pytest.fixture
def served(serve: Callable[..., Served]) -> Served:
    return serve()


@pytest.fixture
def lent(served: Served, tmp_path: Path) -> Iterator[Callable[[str, int], Lent]]:
    """Makes the share of one build of one worker."""
    client = FarmClient(served.url, WORKER)

    def make(worker: str, build: int) -> Lent:
        work = tmp_path / worker / "builds" / str(build)
        work.mkdir(parents=True)
        said: list[str] = []
        made = Lent(client, LABEL, tmp_path / worker / "kept", work, said.append)
        made.said = said  # type: ignore[attr-defined]
        made.take()
        return made

    yield make
    client.close()


def leave(share: Lent, content: bytes) -> None:
    Kept(share.work).new.write_bytes(content)
    share.give()


def files(share: Lent) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(share.work.iterdir())}


def test_given_two_workers_i_expect_what_one_learnt_to_help_the_other(lent: Callable[[str, int], Lent]) -> None:
    first = lent("one", 1)
    assert files(first) == {}
    leave(first, b"conv")
    second = lent("two", 1)
    assert files(second) == {"kept.farm": b"conv"}
    assert second.version == 1


def test_given_a_lost_race_i_expect_the_next_build_to_get_both_to_merge(lent: Callable[[str, int], Lent]) -> None:
    one, two = lent("one", 1), lent("two", 1)
    leave(one, b"conv")
    leave(two, b"gemm")  # made from the same nothing: too late
    assert any("merged the next time" in line for line in two.said)  # type: ignore[attr-defined]
    again = lent("two", 2)
    assert files(again) == {"kept.farm": b"conv", "kept.own": b"gemm"}
    leave(again, b"conv+gemm")
    assert files(lent("one", 2)) == {"kept.farm": b"conv+gemm"}
    assert files(lent("two", 3)) == {"kept.farm": b"conv+gemm"}  # nothing waits any more


def test_given_a_build_that_learns_nothing_i_expect_what_waited_to_be_forgotten(
    lent: Callable[[str, int], Lent],
) -> None:
    one, two = lent("one", 1), lent("two", 1)
    leave(one, b"conv")
    leave(two, b"conv")
    again = lent("two", 2)
    assert files(again) == {"kept.farm": b"conv", "kept.own": b"conv"}
    again.give()
    assert files(lent("two", 3)) == {"kept.farm": b"conv"}


def test_given_a_build_that_leaves_something_odd_i_expect_nothing_to_be_shared(
    lent: Callable[[str, int], Lent], tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"of the agent")
    for number, odd in enumerate(("link", "hard link", "folder", "pipe", "large", "empty", "none")):
        share = lent("one", number)
        new = Kept(share.work).new
        match odd:
            case "link":
                new.symlink_to(secret)
            case "hard link":
                os.link(secret, new)
            case "folder":
                new.mkdir()
            case "pipe":
                os.mkfifo(new)
            case "large":
                new.touch()
                os.truncate(new, KEPT_BYTES + 1)
            case "empty":
                new.touch()
        share.give()
    assert files(lent("two", 1)) == {}


def test_given_no_farm_i_expect_the_build_to_go_on(tmp_path: Path) -> None:
    client = FarmClient("http://127.0.0.1:1", WORKER)
    said: list[str] = []
    share = Lent(client, LABEL, tmp_path / "kept", tmp_path, said.append)
    client._closed.set()  # it would try again for five seconds
    share.take()
    leave(share, b"conv")
    assert [line.split(":")[0] for line in said] == [
        "the build begins without a toolchain cache",
        "the toolchain cache of this build is not shared",
    ]
    client.close()
