"""Writes the API's description: `openapi.json` for machines and the page at `/docs` for people."""
