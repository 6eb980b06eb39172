"""Runs one function once with one event, in an environment that is handed over later: `run_function migrate`."""

import argparse
import json
import os
import sys

from infra.local.handover import take_over
from infra.local.lambda_environment import LambdaFunction
from infra.local.template import read_template


def main() -> None:
    """Exits 0 when the handler returned; its answer goes to standard output."""
    parser = argparse.ArgumentParser()
    parser.add_argument("function", help="name of the function's folder")
    function = LambdaFunction(read_template().function(parser.parse_args().function), environments=1)
    function.warm()
    settings = take_over(gone=lambda: os._exit(1))
    answer = function.invoke(settings.get("event", {}))
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
