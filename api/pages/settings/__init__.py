"""The settings of a project and, for its operator, of the farm. One module a page."""

from __future__ import annotations

from api.pages.settings import audit_log, home, members, persons, project, tokens, webhooks

routers = tuple(page.router for page in (home, project, members, tokens, webhooks, audit_log, persons))
