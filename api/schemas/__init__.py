"""The wire shapes: pydantic models of what clients send, and typed dicts of what they receive.

Owns names, types and bounds of fields, and the one error that a wrong body gets. The dialects and the
description in ``/openapi.json`` use them. It must not know what a field does, nor which of them this
server honours.
"""
