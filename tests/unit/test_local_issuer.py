"""What the local JWT authorizer lets in, and every way of forging that it must not."""

import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import RSAAlgorithm

from infra.local.issuer import Issuer, TokenRefused, TokenVerifier, scopes

URL = "http://127.0.0.1:1/_local/issuer"
ISSUER = Issuer(URL)
VERIFIER = TokenVerifier(issuer=URL, audience=["telemetry"], key_set=ISSUER.key_set())
KEY_ID = ISSUER.key_set()["keys"][0]["kid"]


def _claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    return {"iss": URL, "sub": "me", "aud": "telemetry", "iat": now, "exp": now + 60, "scope": "telemetry", **changes}


def _refused(token: str) -> str:
    with pytest.raises(TokenRefused) as refusal:
        VERIFIER.claims(token)
    return str(refusal.value)


def test_a_good_token_passes() -> None:
    claims = VERIFIER.claims(ISSUER.token("me", audience="telemetry", tenant="team"))
    assert (claims["sub"], claims["tenant"], scopes(claims)) == ("me", "team", frozenset({"telemetry"}))


def test_another_issuer_is_refused() -> None:
    assert "issuer" in _refused(ISSUER.token("me", audience="telemetry", iss="https://other.example")).lower()


def test_another_audience_is_refused() -> None:
    assert _refused(ISSUER.token("me", audience="other")) == "invalid audience"


def test_one_audience_of_several_is_enough() -> None:
    assert VERIFIER.claims(ISSUER.token("me", audience="x", aud=["other", "telemetry"]))["sub"] == "me"


def test_client_id_counts_only_without_an_audience() -> None:
    assert _refused(ISSUER.token("me", audience="other", client_id="telemetry")) == "invalid audience"


def test_an_expired_token_is_refused() -> None:
    assert "expired" in _refused(ISSUER.token("me", audience="telemetry", lifetime_s=-1))


def test_a_token_not_valid_yet_is_refused() -> None:
    assert "not yet valid" in _refused(ISSUER.token("me", audience="telemetry", nbf=int(time.time()) + 60))


def test_a_token_without_expiry_is_refused() -> None:
    token = jwt.encode({"iss": URL, "aud": "telemetry"}, ISSUER._key, "RS256", headers={"kid": KEY_ID})
    assert '"exp"' in _refused(token)


def test_no_algorithm_is_refused() -> None:
    assert _refused(jwt.encode(_claims(), "", "none", headers={"kid": KEY_ID}))


def test_the_public_key_as_a_shared_secret_is_refused() -> None:
    """HS256 with the RSA public key as its secret: the classic confusion."""
    public = ISSUER._key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    header = {"alg": "HS256", "typ": "JWT", "kid": KEY_ID}
    # PyJWT will not sign so itself.
    import base64
    import hashlib
    import hmac

    def part(value: bytes) -> bytes:
        return base64.urlsafe_b64encode(value).rstrip(b"=")

    signed = part(json.dumps(header).encode()) + b"." + part(json.dumps(_claims()).encode())
    token = signed + b"." + part(hmac.new(public, signed, hashlib.sha256).digest())
    assert "alg" in _refused(token.decode())


def test_another_key_under_the_same_id_is_refused() -> None:
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    assert "ignature" in _refused(jwt.encode(_claims(), stranger, "RS256", headers={"kid": KEY_ID}))


def test_a_key_that_the_token_brings_itself_is_refused() -> None:
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    own = RSAAlgorithm.to_jwk(stranger.public_key(), as_dict=True)
    assert _refused(jwt.encode(_claims(), stranger, "RS256", headers={"jwk": own})) == "unknown key"


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "ü.ü.ü"])
def test_what_is_no_token_is_refused(token: str) -> None:
    assert _refused(token)


def test_the_published_keys_hold_no_private_part() -> None:
    assert set(ISSUER.key_set()["keys"][0]) <= {"kty", "n", "e", "kid", "use", "alg", "key_ops"}


@pytest.mark.parametrize("claims", [{"scope": "a b"}, {"scp": ["a", "b"]}, {"scp": "a b"}])
def test_scopes_are_read_in_each_form(claims: dict[str, Any]) -> None:
    assert scopes(claims) == {"a", "b"}
