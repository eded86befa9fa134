"""HTTP: one folder for each endpoint or API dialect, and what they share.

A dialect's folder has its wire shape (``shape.py``), a body's way into a ``GenerationRequest``
(``request.py``), events' way into an answer (``answer.py``) and its ``route.py``. Two dialects do not know
each other. They share ``fields/``, ``compatibility/`` and ``transport/``. ``app.py`` puts the routes
together. Of the server it sees the handler, its channels and events; it must not know the engine or mlx.
"""
