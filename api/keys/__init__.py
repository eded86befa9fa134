"""API keys: who holds one, what each may use, their file, and ``python -m api.keys`` to make one.

It knows hashes, never keys, and nothing of HTTP: ``http/transport/api_keys.py`` asks it.
"""
