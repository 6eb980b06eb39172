"""The local stack: real PostgreSQL, real S3 and SQS protocols, and the deployed handlers behind a local API gateway."""
