"""The HTTP API: models, problem+json, the owner from the token, cursors, and the resolver that ties them together."""
