"""Fixtures over a real S3 and SQS protocol: LocalStack in host mode, or the one that LOCALSTACK_ENDPOINT names."""
