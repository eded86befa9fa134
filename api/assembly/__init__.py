"""Puts a server's engine together: the only place that knows all of its rooms.

``engine.py`` is the whole, the others its larger parts. Runs on the batch thread, which then owns
everything. It must not know requests or HTTP.
"""
