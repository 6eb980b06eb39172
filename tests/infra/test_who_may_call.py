"""Whose tokens the deployed API takes: never those of the local issuer, whatever is set."""

import re

import pytest

from infra.build.parts import LAYERS, functions
from infra.local.issuer import Issuer
from infra.local.template import read_template
from telemetry import settings
from tests.infra.test_template import ROOT, root

LOCAL = Issuer("http://127.0.0.1:8080/_local/issuer")


def test_every_route_with_data_asks_the_one_authorizer() -> None:
    auth = root()["Resources"]["Api"]["Properties"]["Auth"]
    assert auth["DefaultAuthorizer"] == "Owner"
    assert list(auth["Authorizers"]) == ["Owner"]
    owner = auth["Authorizers"]["Owner"]
    assert owner["JwtConfiguration"] == {"issuer": {"Ref": "AuthIssuer"}, "audience": {"Ref": "AuthAudience"}}
    assert owner["AuthorizationScopes"] == ["telemetry"]
    routes = [(function.name, route) for function in read_template().functions for route in function.routes]
    assert len(routes) > 20
    for name, route in routes:
        open_to_all = name == "DocsFunction"  # the description, and what answers 404
        assert route.scopes == (None if open_to_all else ("telemetry",)), route


@pytest.mark.parametrize(
    "issuer",
    [
        LOCAL.url,
        "http://login.example.com/",
        "https://localhost/issuer",
        "https://localhost:8443/_local/issuer",
        "https://127.0.0.1/issuer",
        "https://127.1.2.3:1/issuer",
        "https://[::1]/issuer",
        "https://0.0.0.0/issuer",
        "https://login.example.com/_local/issuer",
        "https://",
        "",
    ],
)
def test_no_local_issuer_can_be_deployed(issuer: str) -> None:
    parameter = root()["Parameters"]["AuthIssuer"]
    assert "Default" not in parameter, "who deploys must name the issuer"
    # CloudFormation matches the whole value.
    assert re.fullmatch(parameter["AllowedPattern"], issuer) is None


@pytest.mark.parametrize(
    "issuer",
    [
        "https://login.example.com/",
        "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_AbCdEf123",
        "https://accounts.google.com",
        "https://example.eu.auth0.com/",
        "https://login.microsoftonline.com/0f8fad5b-d9cb-469f-a165-70867728950e/v2.0",
        "https://localhosted.example.com/realms/x",
    ],
)
def test_real_issuers_can(issuer: str) -> None:
    assert re.fullmatch(root()["Parameters"]["AuthIssuer"]["AllowedPattern"], issuer)


def test_nothing_deployed_knows_the_local_issuer() -> None:
    """No function verifies tokens by itself, and no setting could tell it to believe another issuer."""
    deployed = [ROOT / "layers" / "core", *(ROOT / "functions" / name for name in functions())]
    assert LAYERS
    for folder in deployed:
        for file in folder.rglob("*.py"):
            text = file.read_text("utf-8")
            assert "infra.local" not in text, file
            assert not re.search(r"^\s*(import jwt|from jwt)", text, re.MULTILINE), file
    read = set(re.findall(r'"(TELEMETRY_AUTH_\w+)"', (ROOT / settings.__file__).read_text("utf-8")))
    assert read == {"TELEMETRY_AUTH_TENANT_CLAIM", "TELEMETRY_AUTH_REQUIRED_SCOPE"}
    assert "pyjwt" not in (ROOT / "requirements" / "base.txt").read_text("utf-8").lower()


def test_rates_are_limited_for_every_route() -> None:
    limits = root()["Resources"]["Api"]["Properties"]["DefaultRouteSettings"]
    assert limits["ThrottlingRateLimit"] == {"Ref": "ApiRatePerSecond"}
    assert limits["ThrottlingBurstLimit"] == {"Ref": "ApiBurst"}
    for name in ("ApiRatePerSecond", "ApiBurst"):
        assert 0 < root()["Parameters"][name]["Default"] <= 1000
