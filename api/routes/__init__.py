"""The HTTP endpoints: thin handlers, server-sent events, and the edge where errors become answers.

Owns the way of a body (limits, codings, parsing), the wait for events beside the client's leaving, and
the middleware. ``app.py`` puts the routers together. It must not know what fields mean, which is
``protocol``'s, nor anything of the engine: it sees the handler, its channels and events.
"""
