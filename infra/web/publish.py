"""`make page STACK=…`: puts the page's files into the bucket of a deployed stack and lets CloudFront take them.

What a file is sent as stands in infra/web/policy.py. `config.json` is the stack's output `PageConfiguration`: it tells
the page where the API is and how to sign in, and never holds a token.
"""

import argparse
import json
import sys
import uuid
from pathlib import Path
from typing import Any

from infra.web import PAGE
from infra.web.policy import CACHE, CACHE_NEVER, content_type

_OUTPUTS = ("PageUrl", "PageBucketName", "PageDistributionId", "PageConfiguration")
_CONFIGURED = {"api", "signIn", "tiles"}


class PublishError(Exception):
    """The page cannot be published; the message says why."""


def files(folder: Path = PAGE) -> dict[str, bytes]:
    """What is published, by key; `index.html` last, so that nobody gets it before what it names."""
    found = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and content_type(path.relative_to(folder).as_posix())
    }
    if "index.html" not in found:
        raise PublishError(f"{folder} holds no index.html.")
    found["index.html"] = found.pop("index.html")
    return found


def configuration(text: str) -> bytes:
    """The page's `config.json`, checked.

    Raises
    ------
    PublishError : when it holds what is for development alone.
    """
    document = json.loads(text)
    if unknown := set(document) - _CONFIGURED:
        raise PublishError(f"PageConfiguration may not hold {', '.join(sorted(unknown))}.")
    return json.dumps(document, indent=2).encode()


def upload(s3: Any, bucket: str, content: dict[str, bytes]) -> list[str]:
    """Puts every file, then removes what the page has no more; returns the keys removed."""
    for key, body in content.items():
        s3.put_object(
            Bucket=bucket,
            Key=key,
            Body=body,
            ContentType=content_type(key),
            CacheControl=CACHE_NEVER if key == "config.json" else CACHE,
        )
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    gone = [entry["Key"] for page in pages for entry in page.get("Contents", []) if entry["Key"] not in content]
    for key in gone:
        s3.delete_object(Bucket=bucket, Key=key)
    return gone


def publish(stack: str, clients: Any, folder: Path = PAGE) -> str:
    """Publishes into the named stack; returns the page's address.

    Parameters
    ----------
    clients : makes a boto3 client of a service's name.
    """
    described = clients("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
    outputs: dict[str, str] = {output["OutputKey"]: output["OutputValue"] for output in described.get("Outputs", [])}
    if missing := [name for name in _OUTPUTS if name not in outputs]:
        raise PublishError(f"{stack} has no page ({', '.join(missing)} missing): deploy it with PageOrigin=… first.")
    content = {"config.json": configuration(outputs["PageConfiguration"]), **files(folder)}
    upload(clients("s3"), outputs["PageBucketName"], content)
    clients("cloudfront").create_invalidation(
        DistributionId=outputs["PageDistributionId"],
        InvalidationBatch={"Paths": {"Quantity": 1, "Items": ["/*"]}, "CallerReference": str(uuid.uuid4())},
    )
    return outputs["PageUrl"]


def main() -> int:
    """Exit code: 0 when it is published, 1 with a word otherwise."""
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stack", help="name of the deployed stack, for example telemetry-prod")
    try:
        url = publish(parser.parse_args().stack, boto3.client)
    except (PublishError, BotoCoreError, ClientError) as error:
        print(f"page: {error}", file=sys.stderr)  # noqa: T201
        return 1
    print(f"published: {url}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
