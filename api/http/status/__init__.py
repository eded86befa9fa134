"""How the server is: ``GET /``, ``GET /health`` and ``GET /stats``."""
