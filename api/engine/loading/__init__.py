"""From what the operator typed to a model in memory: locate, fetch, convert, load.

The steps, in the order in which a start takes them::

    cpu.blas.load.preload_blas()       before mlx is imported (Linux, CPU build)
    locate_model(model, report)        -> ModelFiles: a folder with config.json and tokenizer, no mlx needed
    load_model(files, config, ...)     -> LoadedModel: on the thread that owns mlx

``app.py``, ``serving/`` and the assembly call it; it must not know how a loaded model is run.
"""
