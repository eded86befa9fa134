"""Function calls: how a prompt offers them, how a model writes them, how a client sees them.

Owns the formats, the prompt for templates without tools, and the collector that makes calls of text as it
comes. Chat messages and the pipeline of answers call it. It must not know dialects, and calls nothing.
"""
