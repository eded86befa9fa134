"""Grammars that answers must follow: from JSON schemas, expressions, choices, Lark texts and tools."""
