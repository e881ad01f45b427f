"""A project keeps no more bytes than it may."""

from __future__ import annotations

import pytest
from farmhand import Farmhand, me, push, submit

from enginehouse.errors import QuotaExceeded
from enginehouse.uploads import UploadRequest
from enginehouse.views import ProjectChange
from scheduler import models, projects, tokens, uploads


def limit(farm, most: int | None) -> None:
    with farm.write() as session:
        projects.change(session, tokens.DEFAULT_PROJECT, ProjectChange(most_bytes=most))


def test_a_model_that_does_not_fit_is_refused_and_one_that_does_is_taken(farm, model_bytes):
    limit(farm, len(model_bytes) - 1)
    with pytest.raises(QuotaExceeded) as refused:
        push(farm, model_bytes)
    assert refused.value.where == {"stored": 0, "asked": len(model_bytes), "most": len(model_bytes) - 1}
    with farm.read() as session:
        assert models.list_(session, me(farm)).items == []
    limit(farm, len(model_bytes))
    push(farm, model_bytes)


def test_an_upload_that_would_not_fit_is_refused_before_it_is_sent(farm, model):
    limit(farm, 10**6)
    with pytest.raises(QuotaExceeded):
        uploads.open_(farm, me(farm), UploadRequest(sha256="a" * 64, size=10**6))
    assert uploads.open_(farm, me(farm), UploadRequest(sha256="a" * 64, size=10)).id


def test_who_holds_too_much_submits_nothing(farm, model):
    Farmhand(farm)
    submit(farm, model, "openvino:fp32", seed=1)
    limit(farm, 1)
    with pytest.raises(QuotaExceeded):
        submit(farm, model, "openvino:fp32", seed=2)
    limit(farm, None)
    submit(farm, model, "openvino:fp32", seed=2)
