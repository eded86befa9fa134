"""Numbers and lines about what the server does; nothing here changes what it answers.

Owns counters, histograms, the log's form and the thread that writes it. All threads write, ``/stats``
reads, ``app.py`` sets the log up. It must not know what it counts beyond the vocabulary's values, and
never holds up whoever writes.
"""
