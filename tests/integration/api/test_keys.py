"""The farm's public keys over REST, and an API without a signing key."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from flask import Flask
from flask.testing import FlaskClient
from integration.api.support import make_settings

from enginehouse.public_key import from_views
from enginehouse.views import KeyView, Page
from scheduler import keys
from scheduler.farm import Farm


def test_anybody_may_read_the_keys_and_no_secret_is_among_them(app: Flask, farm: Farm) -> None:
    keys.bootstrap(farm)
    answer = app.test_client().get("/v1/keys")
    assert answer.status_code == 200
    page = Page[KeyView].model_validate_json(answer.data)
    assert from_views(page.items) == [farm.signer.public]
    assert [(view.id, view.algorithm, view.current) for view in page.items] == [
        (farm.signer.public.id, "ed25519", True)
    ]
    assert farm.settings.signing_key is not None
    assert farm.settings.signing_key.get_secret_value() not in answer.text


def test_there_is_no_way_to_add_a_key(admin: FlaskClient) -> None:
    assert admin.post("/v1/keys", json={}).status_code == 405


def test_an_api_without_a_key_does_not_start_and_says_how_to_make_one(tmp_path: Path) -> None:
    settings = make_settings(f"sqlite:///{tmp_path / 'registry.db'}", tmp_path)
    env = {key: value for key, value in os.environ.items() if not key.startswith("ENGINEHOUSE_")} | {
        "ENGINEHOUSE_DATA_DIR": str(tmp_path),
        "ENGINEHOUSE_DATABASE_URL": settings.database_url,
        "ENGINEHOUSE_SECRET_KEY": settings.secret_key.get_secret_value(),
    }
    done = subprocess.run(
        [sys.executable, "-m", "api"], env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "python -m scheduler.keys make FILE" in done.stderr
    assert "Traceback" not in done.stderr
