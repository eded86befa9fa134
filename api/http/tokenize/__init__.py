"""Texts and chats in tokens, and back: ``POST /tokenize`` and ``POST /detokenize``."""
