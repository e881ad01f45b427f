"""Pages without a browser: the same farms as the API's tests have, and a worker's hands on them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from integration.api.conftest import admin, app, farm, lite, serve, worker
from integration.api.support import with_token

from scheduler import tokens
from scheduler.farm import Farm

sys.path.insert(0, str(Path(__file__).parents[1] / "scheduler"))

__all__ = ["admin", "app", "farm", "lite", "serve", "worker"]


@pytest.fixture
def reader(app: Flask, farm: Farm) -> FlaskClient:
    """A client that may read and nothing else."""
    with farm.read() as session:
        me = tokens.loopback_principal(session)
    with farm.write() as session:
        _, secret = tokens.create(session, me, "reader", ["read"], None)
    return with_token(app, secret)
