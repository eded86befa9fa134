"""HTTP/1 connections: uvicorn's protocol, with what it leaves to a proxy in front of it.

Owns one client's bytes until they are a request, how long it may keep the server waiting, and how many
connections there may be. ``server.py`` gives it to uvicorn. It must not know which endpoints exist.
"""
