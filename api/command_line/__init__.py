"""argv, variables, a file to a ``ServerConfig``: each option once, what it takes, what it does not go with.

``app.py`` calls ``parser.py``. It must not know what a setting does.
"""
