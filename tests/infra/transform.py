"""Runs in .sam-venv: template.yaml on standard input → what SAM makes of it, as JSON on standard output."""

import json
import sys

from samcli.yamlhelper import yaml_parse
from samtranslator.translator.transform import transform


class _Policies:
    """Names of managed policies as AWS would tell them."""

    def load(self) -> dict[str, str]:
        names = ("AWSLambdaBasicExecutionRole", "AWSLambdaVPCAccessExecutionRole", "AWSXRayDaemonWriteAccess")
        return {name: f"arn:aws:iam::aws:policy/{name}" for name in names}


def main() -> None:
    """Every parameter has its default, or a placeholder."""
    template = yaml_parse(sys.stdin.read())
    parameters = {name: entry.get("Default", "given") for name, entry in template["Parameters"].items()}
    json.dump(transform(template, {"AWS::Region": "eu-central-1", **parameters}, _Policies()), sys.stdout)


main()
