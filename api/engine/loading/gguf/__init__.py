"""GGUF files of the llama family: their header, configuration, tokenizer and weights, in mlx-lm's words.

``locate.py`` asks for a folder as mlx-lm reads it, ``load.py`` for the weights. It must not know how a
model is run.
"""
