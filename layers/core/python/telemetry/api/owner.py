"""The owner of a request, from the claims that API Gateway's JWT authorizer has verified."""

from collections.abc import Mapping
from typing import Any

from telemetry.domain.owner import Owner
from telemetry.errors import Code, TelemetryError

_LONGEST_CLAIM = 255


def owner_of(event: Mapping[str, Any], *, tenant_claim: str, required_scope: str) -> Owner:
    """The token's subject and tenant, when the token carries the scope.

    The scope is what tells an access token from an ID token, which the authorizer does not.

    Raises
    ------
    TelemetryError : UNAUTHENTICATED without claims or with unusable ones, FORBIDDEN without the scope.
    """
    authorizer = (event.get("requestContext") or {}).get("authorizer") or {}
    claims = (authorizer.get("jwt") or {}).get("claims") or {}
    owner = Owner(user_id=_claim(claims, "sub"), tenant_id=_claim(claims, tenant_claim))
    if required_scope not in _scopes(claims):
        raise TelemetryError(Code.FORBIDDEN, f"scope {required_scope}")
    return owner


def _claim(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not value.isprintable() or not 0 < len(value) <= _LONGEST_CLAIM:
        raise TelemetryError(Code.UNAUTHENTICATED, f"claim {name}")
    return value


def _scopes(claims: Mapping[str, Any]) -> set[str]:
    """`scope` (RFC 8693, section 4.2) or `scp`: words in a text, or a list, which the gateway writes as `[a b]`."""
    scopes: set[str] = set()
    for name in ("scope", "scp"):
        value = claims.get(name)
        if isinstance(value, list):
            value = " ".join(word for word in value if isinstance(word, str))
        if isinstance(value, str):
            scopes.update(value.strip("[]").split())
    return scopes
