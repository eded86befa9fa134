"""Numbers and arrays: what each step computes, where its state lies, and how tokens are drawn.

Owns sequences, slots, kept blocks, the model and its forward, sampling and speculation. The generator
and the engine's assembly call it; the prompt reader and the threads use a few of its values. It must not
know texts, tokenizers, threads or HTTP; and what decides (scheduler, memory, speculation) must not know
arrays: it makes plans of numbers and ids.
"""
