"""Between text and tokens: chat templates and tokenising on the way in, detokenising on the way out."""
