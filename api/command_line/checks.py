"""Options of the command line that do not go together; argparse's error says why, in one line."""

from __future__ import annotations

import argparse
import os

from api.command_line.values import shown


def check_prefix_cache(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    if args.prefix_cache_bytes is not None and args.prefix_cache == "off":
        parser.error("--prefix-cache-memory needs --prefix-cache on")
    if args.kv_memory_bytes is not None and (args.prefix_cache_bytes or 0) > args.kv_memory_bytes:
        parser.error("--prefix-cache-memory is more than --kv-memory, of which it is a part")
    if args.prefix_cache_disk_bytes is not None and args.prefix_cache_dir is None:
        parser.error("--prefix-cache-disk needs --prefix-cache-dir")
    if args.prefix_cache_dir is not None and args.prefix_cache == "off":
        parser.error("--prefix-cache-dir needs --prefix-cache on")


def check_model_is_no_name(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """An option for several names takes a MODEL behind it too; the default one would be served instead."""
    later = [name for group in args.served_model_names for name in group[1:]]
    models = [name for name in later if "/" in name or name.endswith(".gguf") or os.path.exists(name)]
    if args.model is None and models:
        parser.error(
            f"--served-model-name took {shown(models[0])} for one more name, and no MODEL is left; "
            "put MODEL first, or write --served-model-name=NAME once for each name"
        )


def check_draft_model(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    if args.draft_model is None:
        return
    if not args.draft_model:
        parser.error("--draft-model needs a name: a folder, a Hugging Face repo id or a .gguf file")
    if args.speculation == "off":
        parser.error("--draft-model needs --speculation auto")
    if args.forward not in ("auto", "flat"):
        parser.error(f"--draft-model needs --forward flat or auto: {args.forward} cannot take tokens back")


def check_tls(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    if args.ssl_keyfile is not None and args.ssl_certfile is None:
        parser.error("--ssl-keyfile needs --ssl-certfile")
