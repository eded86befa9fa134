"""Numbers and arrays: what each step computes, where its state lies, and how tokens are drawn.

Its rooms, from the bottom up; each knows only what stands above it in this list::

    files  sequences                         what outlives the process; one choice of an answer
    cpu  device                              MLX's CPU backend; what differs between devices
    budget                                   how many prompt rows a step may have
    memory  speculation                      who has which bytes; who verifies which proposals
    scheduling                               what each step computes
    sampling                                 from logits to tokens
    forward                                  from a plan's rows to logits
    loading  disk  draft  tuning             a model; blocks as files; the draft model; trials at load

The generator, the assembly and the threads call it. It must not know texts, tokenizers, threads or HTTP.
What decides (``sequences`` to ``scheduling``, but ``cpu`` and ``device``) must not know arrays: it makes
plans of numbers and ids.
"""
