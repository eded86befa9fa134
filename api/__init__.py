"""The server as a package; ``docs/architecture.md`` is its map.

In this folder itself lie the vocabulary that all rooms share (``types``, ``step_plan``, ``events``,
``stats``, ``errors``, ``config``), the command line, and what puts the rooms together: the handler, the
engine's assembly, the generator and the prompt reader. The vocabulary is plain values and knows no room;
``app.py`` calls the rest.
"""
