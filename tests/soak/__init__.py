"""Thousands of mixed requests against one server in little memory; see ``__main__.py``."""
