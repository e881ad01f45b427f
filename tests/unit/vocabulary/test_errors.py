"""The tree of errors: each class is published once, says whose fault it is and what to do."""

from __future__ import annotations

import pytest

from enginehouse import errors
from enginehouse.errors import EnginehouseError, Fault


def _all() -> list[type[EnginehouseError]]:
    return [v for v in vars(errors).values() if isinstance(v, type) and issubclass(v, EnginehouseError)]


def test_every_class_but_the_root_has_a_code_of_its_own():
    classes = [cls for cls in _all() if cls not in {EnginehouseError}]
    assert sorted(errors.codes()) == sorted({cls.code for cls in classes})
    without_own = [cls for cls in classes if "code" not in vars(cls) and cls is not errors.InternalError]
    assert not without_own


@pytest.mark.parametrize("cls", _all())
def test_an_error_says_what_to_do_and_travels_as_data(cls):
    error = cls("it went wrong", place="here")
    assert error.title
    assert error.hint
    assert cls.__doc__
    back = errors.from_failure(error.failure())
    assert type(back).code == cls.code
    assert (back.detail, back.where, back.hint) == (error.detail, error.where, error.hint)


def test_only_the_farm_and_crashes_are_tried_again():
    retried = {cls.code for cls in _all() if cls.retried}
    assert all(code.startswith("farm.") or code == "build.crashed" for code in retried)
    assert not [cls for cls in _all() if cls.retried and cls.fault in {Fault.MODEL, Fault.REQUEST}]


def test_an_unknown_code_of_a_newer_farm_is_still_an_error():
    failure = errors.Failure(code="later.invention", title="t", detail="d", fault=Fault.FARM)
    assert errors.from_failure(failure).detail == "d"
