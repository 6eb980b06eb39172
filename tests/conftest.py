"""What every kind of test runs under: the plugins with the shared fixtures, and Hypothesis made repeatable."""

import signal

from hypothesis import settings

from infra.local.layer_modules import hide_numpy

hide_numpy()

# A shell's background jobs ignore Ctrl-C, and so would every process that a test starts and interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = [
    "tests.plugins.postgres",
    "tests.plugins.localstack",
    "tests.plugins.harness",
    "tests.plugins.api",
    "tests.plugins.stack",
]

# The same commit gives the same result; `make fuzz` looks for new examples (`--hypothesis-profile=default`).
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")
