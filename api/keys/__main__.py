"""``python -m api.keys new NAME``: makes a key, shows it once, and says what the server has to know."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from api.errors import StartupError
from api.keys.key import ApiKey, hash_of, new_secret
from api.keys.key_file import entry_of, is_name, read_key_file


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code: 2 where nothing could be made."""
    args = _parser().parse_args(argv)
    secret = new_secret()
    key = ApiKey(args.name, hash_of(secret))
    if args.file is None:
        print(f"{entry_of(key)}\n", file=sys.stderr)
        print("The lines above belong into the file of --api-key-file; the key itself:", file=sys.stderr)
    else:
        try:
            _add(args.file, key)
        except StartupError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        print(f"Added to {args.file}; SIGHUP makes a running server read it. The key:", file=sys.stderr)
    print(secret)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m api.keys", description="API keys of the server.")
    new = parser.add_subparsers(required=True, metavar="new").add_parser("new", help="make a key")
    new.add_argument("name", metavar="NAME", type=_name, help="whose it is; log lines may show it")
    new.add_argument("--file", metavar="FILE", help="add it to this file of keys (made if it is not there)")
    return parser


def _name(text: str) -> str:
    if not is_name(text):
        raise argparse.ArgumentTypeError("use letters, digits and . _ @ + - (at most 64)")
    return text


def _add(path: str, key: ApiKey) -> None:
    """Raises StartupError where the file is wrong or has the name."""
    if os.path.exists(path) and key.name in {each.name for each in read_key_file(path)}:
        raise StartupError(f"{path!r} has a key of the name {key.name!r} already")
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with open(descriptor, "a", encoding="utf-8") as file:
            file.write(f"\n{entry_of(key)}\n")
    except OSError as error:
        raise StartupError(f"cannot write {path!r}: {error.strerror}") from error


if __name__ == "__main__":
    sys.exit(main())
