"""How bodies come and answers go, whatever is in them: limits, codings, event streams, clients that leave.

Every route goes through it. ``dialect.py`` is what an API dialect brings, and OpenAI's own: the answer to
whatever no route takes. It must not know what fields mean.
"""
