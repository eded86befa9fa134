"""Between text and tokens: chat templates and tokenising on the way in, detokenising on the way out.

Owns the tokenizer, what a chat looks like to the model, and what of an answer is content, reasoning or a
call. The prompt reader calls it and hands its pipelines to the results thread. It must not know the
engine, mlx or HTTP.
"""
