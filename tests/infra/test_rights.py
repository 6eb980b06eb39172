"""What each function may do in each bucket: a table, held against the template and against the code."""

import ast
import hashlib
import inspect
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

import pytest

from functions.object_created import app as object_created
from functions.sessions import app as sessions
from functions.uploads import app as uploads
from telemetry import janitor
from telemetry import uploads as use_cases
from telemetry.domain.owner import Owner
from telemetry.services import Services
from telemetry.storage import object_storage, paths
from telemetry.storage.protocol import FileStore
from tests.infra.test_template import _statements, functions, nested, of_type, parameter
from tests.plugins.api import ApiClient
from tests.plugins.harness import LIFE_MS, SAMPLES, Harness

READ, WRITE, DELETE = "s3:GetObject", "s3:PutObject", "s3:DeleteObject"
LIST = "s3:ListBucket"
"""To list, and to tell what is not there (404) from what may not be read (403)."""
LIST_PREFIX = "s3:ListBucket under the prefix"
"""To list alone."""
PARTS = {"s3:ListMultipartUploadParts", "s3:AbortMultipartUpload"}

RIGHTS: dict[str, dict[str, set[str]]] = {
    "UploadsFunction": {"raw": {READ, WRITE, DELETE, LIST, *PARTS}},
    "SessionsFunction": {"raw": {DELETE}, "canonical": {READ, DELETE, LIST}},
    "ObjectCreatedFunction": {"raw": {READ, WRITE, DELETE, LIST, *PARTS}},
    "WorkerFunction": {"raw": {READ, DELETE, LIST}, "canonical": {READ, WRITE, LIST}},
    "JanitorFunction": {"raw": {READ, WRITE, DELETE, LIST, *PARTS}, "canonical": {DELETE, LIST_PREFIX}},
    "MigrateFunction": {},
    "DocsFunction": {},
}
PREFIXES = {"raw": "uploads/", "canonical": "datasets/"}

# What S3 asks for ("Actions, resources, and condition keys for Amazon S3", "Required permissions for Amazon S3 API
# operations"); of a presigned address the one who signed it.
OPERATIONS = {
    "create_multipart_upload": {WRITE},
    "complete_multipart_upload": {WRITE},
    "put_object": {WRITE},
    "sign PUT": {WRITE},
    "sign GET": {READ},
    "head_object": {READ, LIST},
    "get_object": {READ, LIST},
    "list_parts": {"s3:ListMultipartUploadParts"},
    "abort_multipart_upload": {"s3:AbortMultipartUpload"},
    "delete_object": {DELETE},
    "list_objects_v2": {LIST_PREFIX},
}
VERSIONED = {"list_object_versions", "delete_objects"}
"""Asked only of a bucket with versions; ours have none."""

CSV = (SAMPLES / "sample_gnss_10hz.csv").read_bytes()


# The template


def test_the_template_gives_each_function_what_the_table_says() -> None:
    roles = of_type("AWS::IAM::Role")
    assert set(RIGHTS) == set(functions())
    for function, rights in RIGHTS.items():
        given: dict[str, set[str]] = {}
        for statement in _statements(roles[f"{function}Role"].get("Policies", [])):
            actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
            resources = statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
            for action in actions:
                if action.startswith("s3:"):
                    for resource in resources:
                        bucket, right = _right(action, resource, statement.get("Condition"))
                        assert right not in given.setdefault(bucket, set()), f"{function}: {action} twice"
                        given[bucket].add(right)
        assert given == rights, function


def _right(action: str, resource: Any, condition: Any) -> tuple[str, str]:
    """Which bucket a statement's resource is of, and the right; only whole buckets and the one prefix of each exist."""
    text = json.dumps(resource)
    (bucket,) = (name for name in PREFIXES if f"{name.capitalize()}BucketArn" in text)
    if action != LIST:
        assert text.endswith(f'BucketArn}}/{PREFIXES[bucket]}*"}}'), text
        assert condition is None
        return bucket, action
    assert "*" not in text
    if condition is None:
        return bucket, LIST
    assert condition == {"StringEquals": {"s3:prefix": PREFIXES[bucket]}}
    return bucket, LIST_PREFIX


def test_prefixes_are_those_that_the_code_writes_under_and_lists() -> None:
    ids = {"session_id": "s", "run_id": "r", "artifact_id": "a", "attempt": 1, "unique": "u", "stream": "gnss_pvt"}
    dataset = paths.dataset_path(tenant_id="t", **ids)  # type: ignore[arg-type]
    assert paths.upload_path("t", "a").startswith(PREFIXES["raw"])
    assert dataset.startswith(PREFIXES["canonical"])
    assert paths.track_path(dataset).startswith(PREFIXES["canonical"])
    assert (PREFIXES["raw"], PREFIXES["canonical"]) == (janitor.UPLOADS_PREFIX, janitor.DATASETS_PREFIX)
    assert parameter("RawKeyPrefix", nested("storage")) == PREFIXES["raw"]
    for name, properties in functions().items():
        # It would stand before both.
        assert "TELEMETRY_OBJECT_STORAGE_PREFIX" not in properties["Environment"]["Variables"], name


def test_the_networks_endpoint_knows_the_same_prefixes() -> None:
    endpoint = nested("network")["Resources"]["S3Endpoint"]["Properties"]["PolicyDocument"]
    (ours,) = (one for one in _statements(endpoint) if one["Sid"] == "OurBuckets")
    assert [one["Fn::Sub"] for one in ours["Resource"] if "Fn::Sub" in one] == [
        f"${{{name.capitalize()}BucketArn}}/{prefix}*" for name, prefix in PREFIXES.items()
    ]


# The code


def _calls(node: ast.AST) -> Iterator[tuple[str, str]]:
    """What a function calls: (`client`, operation) or (`self`, method)."""
    for call in ast.walk(node):
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)):
            continue
        name, of = call.func.attr, ast.unparse(call.func.value)
        if of == "self._client":
            yield "client", ast.literal_eval(call.args[0]) if name == "get_paginator" else name
        elif of == "self" and name == "_sign":
            yield "client", f"sign {ast.literal_eval(call.args[0])}"
        elif of == "self":
            yield "self", name


def methods() -> dict[str, set[str]]:
    """The rights that each method of the store needs, out of its source."""
    (store,) = ast.parse(inspect.getsource(object_storage.ObjectStorage)).body
    assert isinstance(store, ast.ClassDef)
    bodies = {node.name: node for node in store.body if isinstance(node, ast.FunctionDef)}

    def needs(name: str) -> set[str]:
        found: set[str] = set()
        for kind, called in _calls(bodies[name]):
            if kind == "self":
                found |= needs(called) if called in bodies else set()
            elif called not in VERSIONED:
                found |= OPERATIONS[called]
        return found

    return {name: needs(name) for name in bodies if not name.startswith("_")}


def test_every_operation_is_one_whose_right_is_known() -> None:
    needed = methods()
    assert set(OPERATIONS) | VERSIONED >= {
        called for kind, called in _calls(ast.parse(inspect.getsource(object_storage))) if kind == "client"
    }
    assert {name for name in vars(FileStore) if not name.startswith("_")} == set(needed)
    assert set().union(*needed.values()) == set().union(*OPERATIONS.values())


class _Watched(Services):
    """One function's services, which note what it does in each store."""

    def __init__(self, harness: Harness) -> None:
        super().__init__(harness.services.settings)
        self.used: dict[str, set[str]] = {}

    @property
    def raw(self) -> FileStore:
        return cast(FileStore, _Store(super().raw, self.used.setdefault("raw", set())))

    @property
    def canonical(self) -> FileStore:
        return cast(FileStore, _Store(super().canonical, self.used.setdefault("canonical", set())))


class _Store:
    def __init__(self, store: FileStore, used: set[str]) -> None:
        self._store, self._used = store, used

    def __getattr__(self, name: str) -> Any:
        self._used.add(name)
        return getattr(self._store, name)


def test_each_function_needs_what_the_table_says(
    api: ApiClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Every use case that touches a store, with services of its own function."""
    harness = api.harness
    watched = {name: _Watched(harness) for name in RIGHTS}
    for module, name in ((uploads, "Uploads"), (sessions, "Sessions"), (object_created, "ObjectCreated")):
        monkeypatch.setattr(module, "services", watched[f"{name}Function"])
    monkeypatch.setattr(uploads.api, "_services", watched["UploadsFunction"])
    monkeypatch.setattr(sessions.api, "_services", watched["SessionsFunction"])
    monkeypatch.setattr(harness, "services", watched["WorkerFunction"])
    owner = Owner(api.owner, api.owner)

    def in_parts(**fields: Any) -> str:
        """An upload whose one part has arrived."""
        upload_id: str = api.announce(CSV, **fields).json["uploadId"]
        wanted = {"partNumber": 1, "sha256": hashlib.sha256(CSV).hexdigest()}
        (signed,) = api.call("uploads_sign_parts", upload_id, body={"parts": [wanted]}).json["parts"]
        api.put(signed["upload"], CSV)
        assert len(api.call("uploads_list_parts", upload_id).json["received"]) == 1
        return upload_id

    # Uploads: in one, in parts, given up.
    session_id = api.session_of(CSV)
    assert api.call("uploads_finalise", in_parts(), body={}).status == 202
    assert api.call("uploads_abandon", in_parts()).status == 204

    # Receipts: finalised, of what is not there, of bytes that are discarded, and of parts after all.
    for upload_id in (api.uploaded(CSV, finaliseOnReceipt=True), api.announce(CSV).json["uploadId"]):
        api.object_created(f"uploads/{api.owner}/{upload_id}.bin")
    abandoned = api.uploaded(CSV)
    api.call("uploads_abandon", abandoned)
    api.object_created(f"uploads/{api.owner}/{abandoned}.bin")
    use_cases.finalise(watched["ObjectCreatedFunction"], owner, UUID(in_parts()))

    # The worker: every step.
    harness.drain()

    # Sessions: all that can be seen of one, and its end.
    assert api.call("sessions_get", session_id).json["status"] == "ready"
    for event in ("datasets", "laps", "track", "devices"):
        assert api.call(f"sessions_{event}", session_id).status == 200
    assert api.call("sessions_delete", session_id).status == 204

    # The janitor: parts to be finalised, uploads that expired, orphans.
    waiting, expired = in_parts(finaliseOnReceipt=True), in_parts()
    harness.sql("UPDATE telemetry_artifacts SET expires_at = now() - interval '1 day' WHERE id = :id", id=expired)
    orphan = tmp_path / "orphan"
    orphan.write_bytes(b"of a lost attempt")
    harness.services.canonical.put_file(
        f"datasets/t/{uuid4()}/{uuid4()}/{uuid4()}/1-u/gnss_pvt.parquet",
        orphan,
        sha256=hashlib.sha256(orphan.read_bytes()).hexdigest(),
        content_type="application/vnd.apache.parquet",
    )
    janitor.clean(watched["JanitorFunction"], lambda: LIFE_MS, safe_age=-timedelta(hours=1))
    assert api.call("uploads_get", waiting).json["sessionId"]

    needed = methods()
    for name, services in watched.items():
        used = {
            store: set().union(*(needed[method] for method in done)) for store, done in services.used.items() if done
        }
        for rights in used.values():
            if LIST in rights:
                rights.discard(LIST_PREFIX)
        assert {store: rights for store, rights in used.items() if rights} == RIGHTS[name], name
        services.database.close()
