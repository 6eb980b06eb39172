"""infra/page.yaml: CloudFront says what the local stack says, and the bucket is nobody else's."""

import json
import re
from typing import Any

from infra.web.policy import HEADERS, content_security_policy
from infra.web.publish import configuration
from tests.infra.test_template import nested, root


def properties(name: str) -> dict[str, Any]:
    """Of one resource."""
    found: dict[str, Any] = nested("page")["Resources"][name]["Properties"]
    return found


def test_cloudfront_sends_the_local_stacks_headers() -> None:
    policy = properties("Headers")["ResponseHeadersPolicyConfig"]
    security = policy["SecurityHeadersConfig"]
    said = security["ContentSecurityPolicy"]["ContentSecurityPolicy"]["Fn::Sub"]
    assert said == content_security_policy(
        ["${ApiOrigin}", "${StoreOrigins}", "${SignInOrigins}"], pictures=["${TilesOrigin}"]
    )
    sent = {item["Header"]: item["Value"] for item in policy["CustomHeadersConfig"]["Items"]} | {
        "x-content-type-options": "nosniff" if "ContentTypeOptions" in security else "",
        "x-frame-options": security["FrameOptions"]["FrameOption"],
        "referrer-policy": security["ReferrerPolicy"]["ReferrerPolicy"],
    }
    assert sent == HEADERS
    assert security["StrictTransportSecurity"]["AccessControlMaxAgeSec"] >= 31_536_000
    assert all(entry["Override"] for entry in security.values())
    behaviour = properties("Distribution")["DistributionConfig"]["DefaultCacheBehavior"]
    assert behaviour["ResponseHeadersPolicyId"] == {"Ref": "Headers"}
    assert behaviour["AllowedMethods"] == ["GET", "HEAD"]


def test_only_tls_of_today_reaches_the_page() -> None:
    distribution = properties("Distribution")["DistributionConfig"]
    assert distribution["ViewerCertificate"]["MinimumProtocolVersion"] == "TLSv1.2_2021"
    assert distribution["DefaultCacheBehavior"]["ViewerProtocolPolicy"] == "redirect-to-https"


def test_only_this_distribution_reads_the_bucket() -> None:
    assert set(properties("Bucket")["PublicAccessBlockConfiguration"].values()) == {True}
    allowed = [
        statement
        for statement in properties("BucketPolicy")["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Allow"
    ]
    assert len(allowed) == 1
    assert allowed[0]["Action"] == "s3:GetObject"
    assert "${Distribution}" in json.dumps(allowed[0]["Condition"])
    (origin,) = properties("Distribution")["DistributionConfig"]["Origins"]
    assert origin["OriginAccessControlId"] == {"Fn::GetAtt": ["Access", "Id"]}
    assert re.search(r"sigv4", json.dumps(properties("Access")))


VALUES = {
    "Api": "abc",
    "AWS::Region": "eu-central-1",
    "AWS::URLSuffix": "amazonaws.com",
    "AuthAudience": "telemetry",
    "AuthIssuer": "https://login.example/realms/one/",
    "PageClientId": "page",
    "PageOrigin": "https://telemetry.example",
    "PageScope": "openid telemetry",
    "PageSignInOrigins": "https://tokens.example",
    "PageTilesAttribution": "© map makers",
    "PageTilesUrl": "https://tiles.example/{z}/{x}/{y}.png",
    "Storage.Outputs.RawBucketName": "raw",
    "Storage.Outputs.CanonicalBucketName": "canonical",
}


def resolved(value: Any, conditions: dict[str, bool], more: dict[str, str] | None = None) -> Any:
    """What CloudFormation makes of the functions that the page's part uses."""
    known = VALUES | (more or {})
    if not isinstance(value, dict):
        return value
    ((name, of),) = value.items()

    def all_of(values: list[Any]) -> list[Any]:
        return [resolved(one, conditions, more) for one in values]

    match name:
        case "Ref":
            return known[of]
        case "Fn::GetAtt":
            return known[".".join(of)]
        case "Fn::If":
            return resolved(of[1] if conditions[of[0]] else of[2], conditions, more)
        case "Fn::Join":
            joined = resolved(of[1], conditions, more)
            return of[0].join(joined) if isinstance(joined, list) else joined
        case "Fn::Split":
            return resolved(of[1], conditions, more).split(of[0])
        case "Fn::Select":
            chosen = resolved(of[1], conditions, more)
            return (chosen if isinstance(chosen, list) else chosen.split(","))[of[0]]
        case "Fn::Sub":
            text, own = (of, {}) if isinstance(of, str) else of
            names = known | dict(zip(own, all_of(list(own.values())), strict=True))
            return re.sub(r"\$\{([\w:.]+)\}", lambda found: names[found[1]], text)
    raise AssertionError(name)


def given(name: str, **conditions: bool) -> Any:
    """A parameter that template.yaml gives to infra/page.yaml."""
    return resolved(root()["Resources"]["Page"]["Properties"]["Parameters"][name], conditions)


def test_the_page_may_call_the_api_the_buckets_and_the_issuer() -> None:
    assert given("ApiOrigin") == "https://abc.execute-api.eu-central-1.amazonaws.com"
    assert given("StoreOrigins").split() == [
        # as the service signs addresses for them
        "https://raw.s3.eu-central-1.amazonaws.com",
        "https://canonical.s3.eu-central-1.amazonaws.com",
    ]
    assert given("SignInOrigins").split() == ["https://login.example", "https://tokens.example"]
    assert given("TilesOrigin", ShowTiles=True) == "https://tiles.example"
    assert given("TilesOrigin", ShowTiles=False) == ""


def test_the_page_is_told_where_to_sign_in() -> None:
    output = root()["Outputs"]["PageConfiguration"]["Value"]
    document = json.loads(configuration(resolved(output, {"ShowTiles": True})))
    assert document == {
        "api": "https://abc.execute-api.eu-central-1.amazonaws.com/api/v1/telemetry",
        "signIn": {
            "issuer": VALUES["AuthIssuer"],
            "clientId": "page",
            "scope": "openid telemetry",
            "audience": "telemetry",
        },
        "tiles": {"url": VALUES["PageTilesUrl"], "attribution": "© map makers"},
    }
    assert set(json.loads(resolved(output, {"ShowTiles": False}))) == {"api", "signIn"}


def test_nobody_deploys_a_page_that_api_and_buckets_turn_away() -> None:
    rules = json.dumps(root()["Rules"]["PageNeedsCertificateAndClient"]["Assertions"])
    assert '{"Fn::Contains": [{"Ref": "AllowedOrigins"}, {"Ref": "PageOrigin"}]}' in rules
    assert given("Domain") == "telemetry.example"


def test_no_page_unless_its_name_is_given() -> None:
    assert root()["Parameters"]["PageOrigin"]["Default"] == ""
    assert root()["Resources"]["Page"]["Condition"] == "ServePage"
