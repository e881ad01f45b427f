"""Which worker of a pool a build goes to."""

from __future__ import annotations

from scheduler.affinity import Host, preferred

NONE: frozenset[str] = frozenset()


def host(name: str, free: int = 1, *files: str) -> Host:
    return Host(name, free, frozenset(files))


def test_whoever_is_first_where_it_makes_no_difference():
    assert preferred([host("a"), host("b")], "model", NONE) is None


def test_the_one_that_has_the_model_and_a_free_slot():
    hosts = [host("a", 0, "model"), host("b", 1, "model"), host("c", 4)]
    found = preferred(hosts, "model", NONE)
    assert found is hosts[1]


def test_elsewhere_first():
    hosts = [host("a", 4, "model"), host("b", 1), host("c", 2)]
    assert preferred(hosts, "model", frozenset({"a"})) is hosts[2]


def test_better_one_that_failed_with_it_than_none():
    hosts = [host("a"), host("b", 0)]
    assert preferred(hosts, "model", frozenset({"a"})) is None
