"""A small model runs ahead of the one that is served, which verifies what it says."""
