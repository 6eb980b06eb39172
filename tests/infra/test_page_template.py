"""infra/page.yaml: CloudFront says what the local stack says, and the bucket is nobody else's."""

import json
import re
from typing import Any

from infra.web.policy import HEADERS, content_security_policy
from tests.infra.test_template import nested


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
