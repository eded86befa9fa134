"""What is served: ``GET /v1/models``."""
