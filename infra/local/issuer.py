"""A JWT issuer for development: keys made at start and never written down, and the check that API Gateway makes."""

import time
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

ALGORITHM = "RS256"


class TokenRefused(Exception):
    """The token does not pass; the message says why, for the log."""


class Issuer:
    """Signs tokens for its own issuer address."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._key_id = uuid.uuid4().hex

    def token(
        self,
        subject: str,
        *,
        audience: str,
        scope: str = "telemetry",
        lifetime_s: int = 12 * 3600,
        **claims: Any,
    ) -> str:
        """A signed token of `subject`."""
        now = int(time.time())
        return jwt.encode(
            {
                "iss": self.url,
                "sub": subject,
                "aud": audience,
                "scope": scope,
                "iat": now,
                "exp": now + lifetime_s,
                "jti": str(uuid.uuid4()),
                **claims,
            },
            self._key,
            algorithm=ALGORITHM,
            headers={"kid": self._key_id},
        )

    def key_set(self) -> dict[str, Any]:
        """The public keys as a JWKS (RFC 7517)."""
        public = RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return {"keys": [{**public, "kid": self._key_id, "use": "sig", "alg": ALGORITHM}]}

    def discovery(self) -> dict[str, Any]:
        """OpenID Connect Discovery 1.0 document, as far as a verifier reads it."""
        return {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/.well-known/jwks.json",
            "id_token_signing_alg_values_supported": [ALGORITHM],
            "subject_types_supported": ["public"],
            "response_types_supported": ["token"],
        }


class TokenVerifier:
    """What an HTTP API's JWT authorizer checks: signature (RS256), issuer, audience or client_id, times."""

    def __init__(self, *, issuer: str, audience: Iterable[str], key_set: Mapping[str, Any]) -> None:
        self._issuer = issuer
        self._audience = frozenset(audience)
        self._keys = jwt.PyJWKSet.from_dict(dict(key_set))

    def claims(self, token: str) -> dict[str, Any]:
        """The token's claims; raises TokenRefused."""
        try:
            key = self._keys[str(jwt.get_unverified_header(token).get("kid"))]
            claims: dict[str, Any] = jwt.decode(
                token,
                key.key,
                algorithms=[ALGORITHM],
                issuer=self._issuer,
                options={"require": ["exp", "iss"], "verify_aud": False},
            )
        except KeyError:
            raise TokenRefused("unknown key") from None
        except jwt.InvalidTokenError as error:
            raise TokenRefused(str(error)) from None
        # "aud or client_id: must match one of the audience entries"; client_id counts only where there is no aud.
        audience = claims.get("aud", claims.get("client_id", []))
        if self._audience.isdisjoint([audience] if isinstance(audience, str) else audience):
            raise TokenRefused("invalid audience")
        return claims


def scopes(claims: Mapping[str, Any]) -> frozenset[str]:
    """The scopes a token carries, in `scope` or `scp`, as a list or as words."""
    found = claims.get("scope", claims.get("scp", []))
    return frozenset(found.split() if isinstance(found, str) else found)
