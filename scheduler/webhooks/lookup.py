"""Finding a webhook, for whom it may be found."""

from __future__ import annotations

from sqlalchemy.orm import Session

from enginehouse.errors import NotFound
from scheduler.registry.tables import Webhook
from scheduler.tokens import Principal


def mine(session: Session, principal: Principal, webhook: str) -> Webhook:
    """A webhook of the project's. Raises NotFound."""
    found = session.get(Webhook, webhook)
    if found is None or found.project_id != principal.project or found.deleted is not None:
        raise NotFound(
            f"there is no webhook {webhook}", advice="'enginehouse webhook list' shows them.", webhook=webhook
        )
    return found
