"""What template.yaml says of functions, routes, queues and schedules, so that nothing local has a list of its own."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from infra.local.process import ROOT, StackError


@dataclass(frozen=True, slots=True)
class Route:
    """One route of the HTTP API. `scopes` is None where no token is asked for."""

    method: str
    path: str
    scopes: tuple[str, ...] | None

    @property
    def key(self) -> str:
        """As API Gateway names it, for example `GET /sessions/{sessionId}`."""
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class QueueSource:
    """An SQS event source mapping. `queue_output` is the storage stack's output that holds the queue's ARN."""

    queue_output: str
    batch_size: int
    report_failures: bool


@dataclass(frozen=True, slots=True)
class Schedule:
    """An EventBridge rule."""

    name: str
    interval_s: int


@dataclass(frozen=True, slots=True)
class Function:
    """One Lambda function. `folder` is its CodeUri, `handler` is `module.attribute` in it."""

    name: str
    folder: Path
    handler: str
    timeout_s: int
    memory_mb: int
    routes: tuple[Route, ...]
    queues: tuple[QueueSource, ...]
    schedules: tuple[Schedule, ...]


@dataclass(frozen=True, slots=True)
class Cors:
    """What the HTTP API answers to browsers."""

    origins: tuple[str, ...]
    methods: tuple[str, ...]
    headers: tuple[str, ...]
    exposed: tuple[str, ...]
    max_age_s: int


@dataclass(frozen=True, slots=True)
class Template:
    """The parts of template.yaml that the local stack plays."""

    functions: tuple[Function, ...]
    cors: Cors
    audience: tuple[str, ...]
    environment: Mapping[str, str]

    def function(self, folder: str) -> Function:
        """The function whose folder has this name."""
        return next(function for function in self.functions if function.folder.name == folder)


def read_template(path: Path = ROOT / "template.yaml") -> Template:
    """Reads template.yaml; parameters take their defaults."""
    document = yaml.load(path.read_text(), Loader=_Loader)  # noqa: S506 a SafeLoader that also reads `!Ref` and the like
    parameters = {name: entry.get("Default", "") for name, entry in document["Parameters"].items()}
    resources = document["Resources"]
    defaults = document["Globals"]["Function"]
    api = next(r["Properties"] for r in resources.values() if r["Type"] == "AWS::Serverless::HttpApi")
    authorizer = api["Auth"]["Authorizers"][api["Auth"]["DefaultAuthorizer"]]
    routes = _routes(api["DefinitionBody"]["paths"], tuple(authorizer["AuthorizationScopes"]))
    cors = api["CorsConfiguration"]
    return Template(
        functions=tuple(
            _function(name, defaults | entry["Properties"], routes.get(name, ()), path.parent)
            for name, entry in resources.items()
            if entry["Type"] == "AWS::Serverless::Function"
        ),
        cors=Cors(
            origins=_strings(cors["AllowOrigins"], parameters),
            methods=_strings(cors["AllowMethods"], parameters),
            headers=_strings(cors["AllowHeaders"], parameters),
            exposed=_strings(cors["ExposeHeaders"], parameters),
            max_age_s=int(cors["MaxAge"]),
        ),
        audience=_strings(authorizer["JwtConfiguration"]["audience"], parameters),
        environment=_environment(defaults["Environment"]["Variables"], parameters),
    )


def read_outputs(path: Path = ROOT / "infra" / "storage.yaml") -> set[str]:
    """Names of the storage stack's outputs."""
    return set(yaml.load(path.read_text(), Loader=_Loader)["Outputs"])  # noqa: S506 as above


def _routes(paths: Mapping[str, Any], default_scopes: tuple[str, ...]) -> dict[str, tuple[Route, ...]]:
    """Each function's routes, by the function's name."""
    found: dict[str, tuple[Route, ...]] = {}
    for path, operations in paths.items():
        for name, operation in operations.items():
            uri = operation["x-amazon-apigateway-integration"]["uri"]["Fn::Sub"]
            (function,) = re.findall(r"\$\{(\w+)\.(?:Arn|Alias)\}", uri)
            method = "ANY" if name == "x-amazon-apigateway-any-method" else name.upper()
            scopes = None if operation.get("security") == [{"NONE": []}] else default_scopes
            found[function] = (*found.get(function, ()), Route(method, path, scopes))
    return found


def _function(name: str, properties: Mapping[str, Any], routes: tuple[Route, ...], root: Path) -> Function:
    queues, schedules = [], []
    for event_name, event in properties.get("Events", {}).items():
        detail = event["Properties"]
        match event["Type"]:
            case "SQS":
                queues.append(
                    QueueSource(
                        queue_output=detail["Queue"]["Fn::GetAtt"][1].removeprefix("Outputs."),
                        batch_size=int(detail["BatchSize"]),
                        report_failures="ReportBatchItemFailures" in detail.get("FunctionResponseTypes", []),
                    )
                )
            case "Schedule":
                schedules.append(Schedule(f"{name}{event_name}", _interval_s(detail["Schedule"])))
            case other:
                raise StackError(f"template.yaml: {name}: the local stack plays no event of type {other}")
    return Function(
        name=name,
        folder=root / properties["CodeUri"],
        handler=properties["Handler"],
        timeout_s=int(properties["Timeout"]),
        memory_mb=int(properties["MemorySize"]),
        routes=routes,
        queues=tuple(queues),
        schedules=tuple(schedules),
    )


def _interval_s(expression: str) -> int:
    """`rate(5 minutes)` in seconds."""
    number, unit = expression.removeprefix("rate(").removesuffix(")").split()
    return int(number) * {"minute": 60, "hour": 3600, "day": 86400}[unit.removesuffix("s")]


def _strings(value: Any, parameters: Mapping[str, Any]) -> tuple[str, ...]:
    if isinstance(value, dict):
        value = str(parameters[value["Ref"]]).split(",")
    return tuple(part.strip() for part in value)


def _environment(variables: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, str]:
    """The variables whose values the template itself knows; the rest come from the running stack."""
    known = {}
    for name, value in variables.items():
        if isinstance(value, str):
            known[name] = value
        elif value.get("Ref") in parameters and parameters[value["Ref"]] != "":
            known[name] = str(parameters[value["Ref"]])
    return known


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's short forms as their long ones."""


def _intrinsic(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
        if suffix == "GetAtt":
            value = str(value).split(".", 1)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)  # type: ignore[arg-type]
    return {"Ref" if suffix == "Ref" else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _intrinsic)
