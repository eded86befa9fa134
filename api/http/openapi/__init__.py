"""The list of endpoints, made of what the routes say: ``GET /openapi.json``, and the short one, ``GET /``."""
