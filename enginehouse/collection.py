"""What a pass of retention removed, or would remove."""

from __future__ import annotations

from pydantic import BaseModel, Field

LISTED = 100


class Gone(BaseModel):
    """One thing that goes."""

    name: str = Field(description="an artifact's id, the SHA-256 of bytes, or an object's key")
    why: str
    bytes: int


class Group(BaseModel):
    """Things of one kind that go."""

    count: int = 0
    bytes: int = 0
    first: list[Gone] = Field(default_factory=list, description=f"the first {LISTED}")

    def add(self, name: str, why: str, size: int) -> None:
        """Count one."""
        self.count += 1
        self.bytes += size
        if len(self.first) < LISTED:
            self.first.append(Gone(name=name, why=why, bytes=size))


class Collection(BaseModel):
    """What one pass did; with ``dry_run``, what it would have done, and nothing was changed."""

    dry_run: bool
    artifacts: Group = Field(default_factory=Group, description="artifacts that lose their files")
    unneeded: Group = Field(
        default_factory=Group, description="bytes that nothing needs since just now; they go after the grace"
    )
    removed: Group = Field(default_factory=Group, description="bytes that nothing has needed for the whole grace")
    orphans: Group = Field(
        default_factory=Group, description="objects in the store that the registry does not know, after a crash"
    )
    events: int = Field(default=0, description="events that were older than they are kept")
    deliveries: int = Field(default=0, description="webhook deliveries that were older than they are kept")
    logs: int = Field(default=0, description="attempts whose logs were older than they are kept")
    audit: int = Field(default=0, description="lines of the audit log that were older than they are kept")
    over_budget: int = Field(
        default=0, description="bytes beyond the budget that stay, since what holds them is pinned, in use or new"
    )
