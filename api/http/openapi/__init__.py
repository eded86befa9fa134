"""The description of the API: ``GET /openapi.json``."""
