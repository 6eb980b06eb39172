"""The answer that CloudFormation waits for when a custom resource runs a function: one PUT to a presigned address.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/crpg-ref-responses.html
"""

import json
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

_LONGEST_REASON = 1000
_TIMEOUT_S = 20


def answer(event: Mapping[str, Any], work: Callable[[], Mapping[str, str | None]]) -> dict[str, Any]:
    """Does the work and tells CloudFormation how it ended; FAILED stops the deployment and takes it back.

    Nothing is done when the resource is deleted: data outlives its stack. What `work` raised is raised again, after
    it was told, so that it is logged and counted.

    Parameters
    ----------
    work : gives what the resource's attributes are.
    """
    if event["RequestType"] == "Delete":
        return _tell(event, "SUCCESS")
    try:
        data = work()
    except Exception as error:
        # The type alone: the text of a database's error may quote rows.
        _tell(event, "FAILED", reason=f"{type(error).__name__}; the function's log says more")
        raise
    return _tell(event, "SUCCESS", data=data)


def _tell(
    event: Mapping[str, Any], status: str, *, reason: str = "", data: Mapping[str, str | None] | None = None
) -> dict[str, Any]:
    told = {
        "Status": status,
        "Reason": reason[:_LONGEST_REASON],
        # One and the same for ever, so that an update is never taken for a replacement.
        "PhysicalResourceId": "telemetry-migrations",
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
        "Data": dict(data or {}),
    }
    request = urllib.request.Request(  # noqa: S310 CloudFormation's own address
        event["ResponseURL"], data=json.dumps(told).encode(), method="PUT", headers={"Content-Type": ""}
    )
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S):  # noqa: S310
        return told
