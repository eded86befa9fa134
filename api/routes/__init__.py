"""The HTTP endpoints: thin handlers, server-sent events, and the edge where errors become answers."""
