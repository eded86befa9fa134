"""Function calls: how a prompt offers them, how a model writes them, how a client sees them."""
