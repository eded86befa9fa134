"""HTTP: one folder for each API dialect or endpoint, and what they share.

A dialect's folder has what comes and goes on the wire (``shape.py``, ``answer_shapes.py``), a body's way
into a ``GenerationRequest`` (``request.py``), events' way into an answer (``answer.py``) and its
``route.py``, which also says how the dialect frames its answers, and describes the route. Two dialects do
not know each other. They share ``fields/``, ``compatibility/`` and ``transport/``; ``tokenize/`` takes chats
as the chat completions do. ``app.py`` lists the routes. Of the server it sees the handler, its channels and
events; it must not know the engine or mlx.
"""
