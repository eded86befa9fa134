"""How the application is run: the socket, signals, worker processes, restarts on code changes.

Owns the process from its socket to its exit code. ``app.py`` calls it. It must not know endpoints or
requests: it runs an application and watches a handler's life.
"""
