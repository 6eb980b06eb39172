"""Fixtures that several kinds of tests share, each in the plugin named after the server it starts."""

pytest_plugins = ["tests.postgres", "tests.localstack", "tests.house", "tests.api", "tests.stack"]
