"""The worker threads behind ``ServerHandler``, each the only owner of its state.

The handler starts them and ends them. What they need of the engine and of the text side stands in
``contracts.py``; HTTP they do not know.

====================  ==========================================  ===============================
thread                reads                                       writes
====================  ==========================================  ===============================
``ProcessingThread``  ``GenerationRequest | Cancel``              results, then the batch's inbox
``PrefetchThread``    ``Sequence | Cancel``                       the batch's inbox
``BatchThread``       ``Sequence | BlocksRead | Cancel``          results
``ResultsThread``     ``Opened | Rejected | Cancel | StepOutputs``  the event loop, the inbox
====================  ==========================================  ===============================

The prefetch thread, and a fifth one that writes files, exist where blocks are cached on disk.
A queue also carries ``None`` once: the end. A cancel travels the same way as its request, so it can
never overtake it; every stage that knows the id forgets it there.
"""
