"""Every request field by name: honoured, refused, or without effect, and why.

One set of tables, three readers: refusals at run time, ``docs/compatibility.md``, and the test that holds
them against the fields that OpenAI publishes. It must not know what the dialects make of a field.
"""
