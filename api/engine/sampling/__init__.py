"""From logits to tokens: penalties, masks, filters, draws and logprobs, each row by its own parameters.

Owns what a sequence's sampling remembers. The generator calls it behind each forward. It must not know
slots, the model, or who else is in the batch: a row's token depends on its logits, its parameters and its
own tokens alone.
"""
