"""The resolver: a host and a model in, the best proven artifact out, or why there is none."""

from __future__ import annotations

from api.auth import Scope, allows
from api.routing import Call, Reply, Router
from enginehouse.errors import DatasetMismatch, Forbidden, InvalidShapes, NotFound, UnknownBackend
from enginehouse.resolution import Resolution, ResolveRequest
from scheduler import resolve as resolver

router = Router("resolve")


@router.route(
    "POST",
    "/v1/resolve",
    Scope.READ,
    "The best artifact of a model for a host",
    also={202: "None yet: the job that Location names builds what could serve the host"},
    errors=(NotFound, InvalidShapes, UnknownBackend, DatasetMismatch),
    changes=False,
)
def resolve(call: Call, body: ResolveRequest) -> Reply[Resolution]:
    """That there is none is an answer too, with its code; ``enqueue`` needs the scope 'submit'."""
    if body.enqueue and not allows(call.principal.scopes, Scope.SUBMIT):
        raise Forbidden("'enqueue' needs a token with the scope 'submit'", needs=str(Scope.SUBMIT))
    answer = resolver.resolve(call.farm, call.principal, body, call.request_id)
    if not answer.pending:
        return Reply(answer)
    return Reply(answer, 202, {"Location": f"/v1/jobs/{answer.job}"})
