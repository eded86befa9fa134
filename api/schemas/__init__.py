"""The wire shapes: pydantic models of what clients send."""
