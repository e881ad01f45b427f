"""The public keys with which anybody checks the farm's signatures."""

from __future__ import annotations

from api.auth import Scope
from api.routing import Call, Router
from enginehouse.views import KeyView, Page
from scheduler import keys

router = Router("keys")


@router.route("GET", "/v1/keys", Scope.PUBLIC, "The public keys that the farm signs, or has signed, provenance with")
def list_(call: Call) -> Page[KeyView]:
    """All that were not withdrawn, newest first. No token is needed: a bundle is checked by whoever was given it."""
    return Page[KeyView](items=keys.published(call.farm))
