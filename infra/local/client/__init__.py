"""A typed client of the API, local or deployed. HTTP only; of the service it shares the API's models and error codes.

with Client(url, token) as client:
    sent = client.send(Path("ride.gpx"))
    session = client.wait(sent.session_id)
"""

from infra.local.client.api import FINAL, Client
from infra.local.client.errors import BrokenOff, ClientError, Interrupted, ServiceError, StillProcessing, Unreachable
from infra.local.client.steps import Phase, Progress, Step
from infra.local.client.upload import Brought, Delivered, Sent

__all__ = [
    "FINAL",
    "BrokenOff",
    "Brought",
    "Client",
    "ClientError",
    "Delivered",
    "Interrupted",
    "Phase",
    "Progress",
    "Sent",
    "ServiceError",
    "Step",
    "StillProcessing",
    "Unreachable",
]
