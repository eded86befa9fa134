"""How bodies come and answers go, whatever is in them: limits, codings, event streams, clients that leave.

Who may come in at all: ``origin_guard.py`` by the web page, ``api_keys.py`` by the key.

Every route goes through it. ``dialect.py`` is what an API dialect brings, and OpenAI's own: the answer to
whatever no route takes. It must not know what fields mean.
"""
