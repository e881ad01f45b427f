"""Ids ascend, whoever asks in parallel, and are never given twice."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from scheduler import ids


def test_ids_sort_by_age_and_are_unique():
    found = [ids.new("job") for _ in range(2000)]
    assert found == sorted(found)
    assert len(set(found)) == len(found)
    assert len(found[0]) == len("job_") + 26


def test_ids_from_many_threads_are_unique():
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: ids.new("b"), range(4000)))
    assert len(set(found)) == 4000
