"""argv to a ``ServerConfig``: every option once, what it takes, and what it does not go with.

``app.py`` calls ``parser.py``. It must not know what a setting does.
"""
