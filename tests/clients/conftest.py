"""Other environments run what is here, against a server that runs already: see ``__main__.py``."""

from __future__ import annotations

import os

import pytest

URL_VARIABLE = "CLIENTS_BASE_URL"

collect_ignore_glob = [] if URL_VARIABLE in os.environ else ["*"]


@pytest.fixture(scope="session")
def base_url() -> str:
    """The server's address, with ``/v1``."""
    return os.environ[URL_VARIABLE]
