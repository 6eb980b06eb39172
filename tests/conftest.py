"""Fixtures that several kinds of tests share, each in the plugin named after the server it starts."""

import signal

from hypothesis import settings

from infra.local.layer_modules import hide_numpy

hide_numpy()

# A shell's background jobs ignore Ctrl-C, and so would every process that a test starts and interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["tests.postgres", "tests.localstack", "tests.harness", "tests.api", "tests.stack"]

# The same commit gives the same result; `make fuzz` looks for new examples (`--hypothesis-profile=default`).
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")
