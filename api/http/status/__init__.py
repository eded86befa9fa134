"""How the server is: ``GET /health`` and ``GET /stats``."""
