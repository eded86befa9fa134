"""OpenAI's older completions, plain texts that are continued: ``POST /v1/completions``."""
