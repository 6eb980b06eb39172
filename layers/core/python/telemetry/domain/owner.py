"""Whose data it is. Standard library only."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Owner:
    """The person a request acts for: the token's subject, and the tenant that is part of storage paths."""

    user_id: str
    tenant_id: str
