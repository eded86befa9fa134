"""Grammars that answers must follow: from JSON schemas, expressions, choices, Lark texts and tools.

Owns what can be enforced, the processes that compile it, and the grammars that are kept. The processing
thread has it compile, by the prompt reader's jobs. It must not know rows, masks or the sampler: who
follows a grammar gets llguidance's matcher.
"""
