"""What linters do not see in the templates: how queues, functions, routes, roles and the code fit together."""

import functools
import json
import re
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.build.parts import layers_of
from infra.local.template import _Loader

ROOT = Path(__file__).resolve().parents[2]
NESTED = ("catalog", "database", "network", "observability", "page", "storage")
# Routes that ask for no token, each with its reason.
OPEN_ROUTES = {
    "GET /openapi.json": "the API's description is public",
    "GET /docs": "the same for people",
    **{
        f"{method} /{{proxy+}}": "answers 404 or 405, and touches no data"
        for method in ("HEAD", "GET", "POST", "PUT", "PATCH", "DELETE")
    },
}
# Wildcards in policies, by a piece of the statement's JSON, each with its reason.
WILDCARDS = {
    '"Sid": "TlsOnly"': "a Deny of everything that comes without TLS",
    "RawBucketArn}/uploads/*": "every upload",
    "CanonicalBucketArn}/datasets/*": "every canonical file",
    '"Sid": "PageFiles"': "every file of the page, to its own distribution",
    "cloudformation-custom-resource-response-": "AWS names these buckets; CloudFormation's answers go there",
    '"Fn::GetAtt": ["RawBucket"': "part of the Deny",
    "secretsmanager:${AWS::Region}:${AWS::AccountId}:secret:*": "the endpoint's; roles name theirs",
}
# Managed policies that SAM gives functions: to write logs, traces and network interfaces, and to read their queue.
MANAGED = {
    "AWSLambdaBasicExecutionRole",
    "AWSLambdaVPCAccessExecutionRole",
    "AWSXrayWriteOnlyAccess",
    "AWSLambdaSQSQueueExecutionRole",
}
OUR_METRICS = {"Fn::Sub": "Telemetry/${Environment}"}
# "Rules" of the CloudFormation User Guide: they know fewer functions than the rest of a template.
RULE_FUNCTIONS = {"Fn::And", "Fn::Or", "Fn::Not", "Fn::Equals", "Fn::Contains", "Ref"}
# PostgreSQL on RDS takes a connection per 9 531 392 bytes of memory; classes' memory from their documentation.
MEMORY_GIB = {"db.t4g.micro": 1, "db.t4g.small": 2, "db.t4g.medium": 4, "db.t4g.large": 8, "db.m7g.large": 8}


@functools.cache
def nested(name: str) -> dict[str, Any]:
    """One of infra/*.yaml, short forms as long ones."""
    loaded: dict[str, Any] = yaml.load((ROOT / "infra" / f"{name}.yaml").read_text(), Loader=_Loader)  # noqa: S506 a SafeLoader
    return loaded


@functools.cache
def root() -> dict[str, Any]:
    """template.yaml as it stands."""
    loaded: dict[str, Any] = yaml.load((ROOT / "template.yaml").read_text(), Loader=_Loader)  # noqa: S506 a SafeLoader
    return loaded


@functools.cache
def transformed(mark: str = "") -> dict[str, Any]:
    """template.yaml as SAM hands it to CloudFormation. `mark` stands for other packages."""
    text = (ROOT / "template.yaml").read_text()
    text = re.sub(r"(ContentUri|CodeUri|Location): (\S+)", r"\1: s3://bucket/\2", text)
    text = text.replace("s3://bucket/functions/", f"s3://bucket/functions{mark}/")
    done = subprocess.run(
        [ROOT / ".sam-venv" / "bin" / "python", Path(__file__).with_name("transform.py")],
        input=text,
        capture_output=True,
        text=True,
        check=False,
        env={"AWS_DEFAULT_REGION": "eu-central-1", "HOME": "/tmp"},  # noqa: S108
    )
    assert done.returncode == 0, done.stderr[-2000:]
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def of_type(kind: str) -> dict[str, dict[str, Any]]:
    """Resources of one type, by logical id, their properties."""
    return {
        name: resource.get("Properties", {})
        for name, resource in transformed()["Resources"].items()
        if resource["Type"] == kind
    }


def functions() -> dict[str, dict[str, Any]]:
    """All functions."""
    found = of_type("AWS::Lambda::Function")
    assert len(found) >= 6
    return found


def parameter(name: str, template: dict[str, Any] | None = None) -> Any:
    """A parameter's default."""
    return (template or root())["Parameters"][name]["Default"]


def test_messages_stay_hidden_for_six_timeouts() -> None:
    storage = nested("storage")
    mappings = of_type("AWS::Lambda::EventSourceMapping")
    assert len(mappings) == 2
    for mapping in mappings.values():
        timeout = functions()[mapping["FunctionName"]["Ref"]]["Timeout"]
        output = mapping["EventSourceArn"]["Fn::GetAtt"][1].removeprefix("Outputs.")
        queue = storage["Resources"][storage["Outputs"][output]["Value"]["Fn::GetAtt"][0]]["Properties"]
        assert parameter(queue["VisibilityTimeout"]["Ref"], storage) >= 6 * timeout
        assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        assert mapping["ScalingConfig"]["MaximumConcurrency"]
        receives = queue["RedrivePolicy"]["maxReceiveCount"]
        assert receives >= 5
        # Or a message expires before it reaches the dead letters.
        retention = queue.get("MessageRetentionPeriod", 345_600)
        assert retention > receives * parameter(queue["VisibilityTimeout"]["Ref"], storage)


def test_no_retention_outlives_what_the_bucket_keeps() -> None:
    kept = parameter("RawExpiryDays", nested("storage"))
    for name in ("RawRetentionDays", "FailedRawRetentionDays"):
        assert root()["Parameters"][name]["MaxValue"] < kept


def test_every_route_asks_for_a_token_with_the_scope() -> None:
    (api,) = of_type("AWS::ApiGatewayV2::Api").values()
    schemes = api["Body"]["components"]["securitySchemes"]
    routes = {
        f"{method.upper()} {path}": operation
        for path, operations in api["Body"]["paths"].items()
        for method, operation in operations.items()
    }
    assert len(routes) >= 15
    for route, operation in routes.items():
        if route in OPEN_ROUTES:
            continue
        ((name, scopes),) = [pair for entry in operation["security"] for pair in entry.items()]
        assert scopes == ["telemetry"], route
        assert schemes[name]["x-amazon-apigateway-authorizer"]["type"] == "jwt"
    assert set(OPEN_ROUTES) <= set(routes), "an exception that is not used any more"


def _statements(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        for entry in value:
            yield from _statements(entry)
    elif isinstance(value, dict):
        if "Effect" in value:
            yield value
        else:
            for entry in value.values():
                yield from _statements(entry)


@pytest.mark.parametrize("name", ["template", *NESTED])
def test_no_wildcard_without_a_reason(name: str) -> None:
    template = transformed() if name == "template" else nested(name)
    for statement in _statements(template["Resources"]):
        for part in ("Action", "Resource"):
            text = json.dumps(statement.get(part, ""))
            if "*" in text:
                assert any(piece in json.dumps(statement) for piece in WILDCARDS), statement


def test_the_network_lets_through_what_the_functions_may_ask_of_s3() -> None:
    roles = of_type("AWS::IAM::Role").values()
    asked = {action for role in roles for one in _statements(role) for action in _listed(one["Action"])}
    endpoint = nested("network")["Resources"]["S3Endpoint"]["Properties"]["PolicyDocument"]
    (ours,) = (one for one in _statements(endpoint) if one["Sid"] == "OurBuckets")
    assert {action for action in asked if action.startswith("s3:")} == set(ours["Action"])


def _listed(actions: str | list[str]) -> list[str]:
    return [actions] if isinstance(actions, str) else actions


@pytest.mark.parametrize("name", ["UploadsFunction", "ObjectCreatedFunction", "JanitorFunction"])
def test_who_ends_uploads_in_parts_may(name: str) -> None:
    policies = of_type("AWS::IAM::Role")[f"{name}Role"]["Policies"]
    assert any("s3:AbortMultipartUpload" in _listed(one["Action"]) for one in _statements(policies))


def test_one_role_per_function_and_no_managed_policy_but_the_usual() -> None:
    roles = [properties["Role"]["Fn::GetAtt"][0] for properties in functions().values()]
    assert len(set(roles)) == len(roles)
    for role in of_type("AWS::IAM::Role").values():
        assert {arn.split("/")[-1] for arn in role.get("ManagedPolicyArns", [])} <= MANAGED


def test_layers_in_their_order() -> None:
    for name, properties in functions().items():
        layers = [re.sub(r"Layer[0-9a-f]*$", "", layer["Ref"]).lower() for layer in properties["Layers"]]
        folder = root()["Resources"][name]["Properties"]["CodeUri"].removeprefix("functions/")
        assert tuple(layers) == layers_of(folder), name


def test_settings_reads_every_variable() -> None:
    read = set(re.findall(r'"(TELEMETRY_\w+)"', (ROOT / "layers/core/python/telemetry/settings.py").read_text()))
    for name, properties in functions().items():
        for variable in properties["Environment"]["Variables"]:
            assert variable in read or variable.startswith("POWERTOOLS_"), f"{name}: {variable}"


def test_functions_are_what_was_decided() -> None:
    assert parameter("Architecture") == "arm64"
    for name, properties in functions().items():
        assert properties["Runtime"] == "python3.13", name
        assert properties["Architectures"] == [{"Ref": "Architecture"}]
        assert properties["LoggingConfig"]["LogGroup"]["Ref"] in of_type("AWS::Logs::LogGroup")
        assert "ReservedConcurrentExecutions" in properties, name
        tags = {tag["Key"]: tag["Value"] for tag in properties["Tags"]}
        waits = {"Fn::If": ["Migrate", {"Fn::GetAtt": ["Migrations", "current"]}, "by-hand"]}
        assert tags.get("schema") == (None if name in ("MigrateFunction", "DocsFunction") else waits), name
    for name in ("UploadsFunction", "SessionsFunction"):
        assert functions()[name]["SnapStart"]["ApplyOn"] == {"Fn::If": ["FromSnapshot", "PublishedVersions", "None"]}
    for group in of_type("AWS::Logs::LogGroup").values():
        assert group["RetentionInDays"]


def test_a_new_package_is_a_new_version() -> None:
    """Else the alias that the API calls would go on with the old code. A package tells its layers' hashes, too."""
    before, after = (
        {name for name, resource in document["Resources"].items() if resource["Type"] == "AWS::Lambda::Version"}
        for document in (transformed(), transformed("-changed"))
    )
    assert before
    assert not before & after


def test_another_setting_of_the_api_is_a_new_version() -> None:
    """Else the alias would go on with the old variables. SAM does not see what parameters make of a property."""
    given = root()["Globals"]["Function"]["Environment"]["Variables"]
    # These hold for a stack's life, or come with another database, whose id the description names.
    kept = {"DatabaseName", "DatabaseUser", "DatabaseSecretArn", "AwsEndpoint", "AddressingStyle", "AWS::Region"}
    wanted = set(_references(list(given.values()))) - kept | {"Architecture", "SnapStart"}
    assert {"UploadMaxBytes", "AuthTenantClaim", "DatabaseHost"} <= wanted
    for version in of_type("AWS::Lambda::Version").values():
        told = set(_references(version["Description"]))
        assert wanted <= told
        # Lambda takes 256 characters.
        longest = {"DatabaseHost": root()["Parameters"]["DatabaseHost"]["MaxLength"]}
        longest |= {"AuthTenantClaim": root()["Parameters"]["AuthTenantClaim"]["MaxLength"]}
        assert sum(longest.get(name, 10) + 1 for name in told) <= 256


def _references(node: Any) -> list[str]:
    """Names of parameters that some part of a template refers to."""
    if isinstance(node, dict):
        own = [node["Ref"]] if "Ref" in node else []
        return own + [name for value in node.values() for name in _references(value)]
    return [name for value in node for name in _references(value)] if isinstance(node, list) else []


def test_rules_use_functions_that_rules_know() -> None:
    def used(node: Any) -> set[str]:
        if isinstance(node, dict):
            return {key for key in node if key == "Ref" or key.startswith("Fn::")}.union(*map(used, node.values()))
        return set().union(*map(used, node)) if isinstance(node, list) else set()

    assert len(root()["Rules"]) >= 3
    assert used(root()["Rules"]) <= RULE_FUNCTIONS


def test_a_migration_is_not_tried_again_behind_a_deployments_back() -> None:
    (config,) = (
        one
        for one in of_type("AWS::Lambda::EventInvokeConfig").values()
        if one["FunctionName"] == {"Ref": "MigrateFunction"}
    )
    assert config["MaximumRetryAttempts"] == 0


def test_functions_stay_within_the_databases_connections() -> None:
    at_once = 2 * parameter("ApiConcurrency") + parameter("ReceiptConcurrency") + parameter("WorkerReservedConcurrency")
    at_once += 2  # janitor, migrate
    connections = MEMORY_GIB[parameter("DatabaseInstanceClass")] * 2**30 // 9_531_392
    assert at_once <= 0.8 * connections
    readme = (ROOT / "infra" / "README.md").read_text()
    assert f"| {at_once} at once:" in readme
    assert f"`{parameter('DatabaseInstanceClass')}` takes {connections} " in readme
    reserved = at_once + functions()["DocsFunction"]["ReservedConcurrentExecutions"]["Fn::If"][1]
    assert f"; {reserved} are reserved here" in readme
    assert parameter("WorkerReservedConcurrency") >= parameter("WorkerConcurrency") + 2


def test_the_readme_names_settings_that_there_are() -> None:
    text = (ROOT / "infra" / "README.md").read_text()
    named = set(re.findall(r"[ `(]([A-Z][a-z]+(?:[A-Z][a-z]+)+)=", text))
    _, scale = text.split("| limit | comes at | moved by |")
    table, _ = scale.split("\n\n", 1)
    rows = [row.split("|") for row in table.splitlines() if row]
    named |= {name for row in rows for name in re.findall(r"`([A-Z][a-z]\w+)`", row[3])}
    assert len(named) > 15
    assert named <= set(root()["Parameters"]), named - set(root()["Parameters"])


def test_the_newest_migration_is_deployed() -> None:
    newest = max(path.stem for path in (ROOT / "migrations" / "versions").glob("[0-9]*.py"))
    named = root()["Resources"]["Migrations"]["Properties"]["Revision"]
    assert named == newest, f"template.yaml: Migrations must name {newest}, or a deployment would not apply it"


def test_only_the_api_may_call_what_it_calls() -> None:
    (api,) = of_type("AWS::ApiGatewayV2::Api").values()
    uris = {
        operation["x-amazon-apigateway-integration"]["uri"]["Fn::Sub"]
        for operations in api["Body"]["paths"].values()
        for operation in operations.values()
    }
    called = {name for uri in uris for name in re.findall(r"\$\{(\w+)\.Arn\}(?::live)?/", uri)}
    assert called == {"UploadsFunction", "SessionsFunction", "DocsFunction"}
    allowed = set()
    for properties in of_type("AWS::Lambda::Permission").values():
        if properties["Principal"] == "apigateway.amazonaws.com":
            assert properties["SourceArn"]["Fn::Sub"].endswith(":${Api}/*")
            allowed.add(properties["FunctionName"]["Ref"].removesuffix("Aliaslive"))
            aliased = properties["FunctionName"]["Ref"].endswith("Aliaslive")
            assert aliased == any(f"${{{properties['FunctionName']['Ref'][:-9]}.Arn}}:live/" in uri for uri in uris)
    assert allowed == called


@pytest.mark.parametrize(
    ("name", "value", "kinds"),
    [
        ("HttpApi", "false", "AWS::ApiGatewayV2::"),
        ("MigrateOnDeploy", "false", "Custom::"),
        ("Network", "none", "infra/network.yaml"),
        ("Database", "existing", "infra/database.yaml"),
        ("Observability", "false", "infra/observability.yaml"),
    ],
)
def test_what_an_emulator_lacks_can_be_left_out(name: str, value: str, kinds: str) -> None:
    """cfn-lint sees to it that nothing which stays refers to it."""
    resources = [
        resource
        for resource in transformed()["Resources"].values()
        if kinds in resource["Type"] or kinds in json.dumps(resource.get("Properties", {}).get("TemplateURL", ""))
    ]
    assert resources
    assert value in root()["Parameters"][name]["AllowedValues"]
    for resource in resources:
        condition = root()["Conditions"][resource["Condition"]]
        if "Fn::Not" in condition:
            assert condition == {"Fn::Not": [{"Fn::Equals": [{"Ref": name}, value]}]}
        else:
            asked, wanted = condition["Fn::Equals"]
            assert asked == {"Ref": name}
            assert wanted != value


@pytest.mark.parametrize("name", NESTED)
def test_nested_stacks_get_what_they_ask_for(name: str) -> None:
    template = nested(name)
    (stack,) = [
        (logical_id, resource["Properties"])
        for logical_id, resource in root()["Resources"].items()
        if resource.get("Properties", {}).get("Location") == f"infra/{name}.yaml"
    ]
    given = set(stack[1].get("Parameters", {}))
    assert given <= set(template["Parameters"])
    assert {key for key, entry in template["Parameters"].items() if "Default" not in entry} <= given
    used = set(re.findall(rf"{stack[0]}\.Outputs\.(\w+)", (ROOT / "template.yaml").read_text()))
    assert used <= set(template.get("Outputs", {}))


def test_database_is_protected() -> None:
    resources = nested("database")["Resources"]
    for name in ("Instance", "Cluster"):
        properties = resources[name]["Properties"]
        assert properties["StorageEncrypted"] is True
        assert properties["DeletionProtection"] == {"Ref": "Protected"}
        assert properties["EnableIAMDatabaseAuthentication"] is True
        assert properties["BackupRetentionPeriod"]
        assert resources[name]["DeletionPolicy"] == "Snapshot"
    for name in ("InstanceParameters", "ClusterParameters"):
        assert resources[name]["Properties"]["Parameters"]["rds.force_ssl"] == "1"
    assert parameter("Protected", nested("database")) == parameter("DatabaseDeletionProtection") == "true"
    assert not any(kind["Type"] == "AWS::EC2::NatGateway" for kind in nested("network")["Resources"].values())


def test_alarms_tell_somebody() -> None:
    alarms = [
        r["Properties"] for r in nested("observability")["Resources"].values() if r["Type"] == "AWS::CloudWatch::Alarm"
    ]
    assert len(alarms) >= 10
    for alarm in alarms:
        assert alarm["AlarmActions"] == [{"Ref": "Alarms"}]
        assert alarm["TreatMissingData"]
    ours = {alarm["MetricName"] for alarm in alarms if alarm.get("Namespace") == OUR_METRICS}
    worker = (ROOT / "functions/worker/app.py").read_text()
    assert "OldestJobAge" in ours & set(re.findall(r'"(\w+)"', worker))
    assert "JobsFailed" in ours
    # One deployment's alarms never hear another's workers in the same account.
    assert root()["Globals"]["Function"]["Environment"]["Variables"]["POWERTOOLS_METRICS_NAMESPACE"] == OUR_METRICS
    json.loads(
        re.sub(
            r"\$\{[\w:]+\}",
            "x",
            nested("observability")["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"],
        )
    )


def _common_name(certificate: dict[str, Any]) -> str:
    """Of the subject, as `ssl` gives it: a tuple of names, each a tuple of one pair."""
    return str(dict(part[0] for part in certificate["subject"])["commonName"])


def test_certificates_are_each_regions_own_and_good_for_years(tmp_path: Path) -> None:
    files = sorted((ROOT / "layers/core/certificates/rds").glob("*.pem"))
    assert len(files) > 20
    for file in files:
        certificates = ssl.create_default_context(cafile=str(file)).get_ca_certs()
        names = {_common_name(certificate) for certificate in certificates}
        assert names == {f"Amazon RDS {file.stem} Root CA {kind} G1" for kind in ("RSA2048", "RSA4096", "ECC384")}
        assert all(int(str(certificate["notAfter"]).split()[3]) > 2050 for certificate in certificates)
