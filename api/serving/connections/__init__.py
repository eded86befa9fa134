"""HTTP/1 connections: uvicorn's protocol, with what it leaves to a proxy in front of it."""
