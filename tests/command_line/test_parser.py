import argparse

import pytest

from api.command_line.parser import parse_args
from api.command_line.values import parse_size
from api.config import EngineConfig, ServerConfig
from api.keys.key import hash_of


def test_no_arguments_are_the_defaults() -> None:
    assert parse_args([]) == ServerConfig()


def test_every_option_reaches_its_field() -> None:
    words = (
        "MODEL --host 127.0.0.1 --port 9 --workers 2 --reload --verbose --log-format json "
        "--served-model-name a b --served-model-name c --accept-any-model --max-queue 0 --max-tokens 11 "
        "--max-body 1KB --request-timeout 1.5 --stall-timeout 2 --drain-seconds 0 --keep-alive-seconds 3 "
        "--max-batch-size 4 --max-context 512 --step-stall-ms 50 --max-step-tokens 64 --kv-memory 24MB "
        "--prefix-cache on --prefix-cache-memory 5MB --prefix-cache-dir some/where --prefix-cache-disk 9GB "
        "--cpu-weights keep --forward padded --trust-remote-code --speculation off "
        "--generation-config none --allow-special-tokens --share-prefix-cache --exit-when-dead off "
        "--idle-read-timeout 4 --uds some/socket --root-path /llm/ --forwarded-allow-ips 10.0.0.1,10.0.0.2 "
        "--ssl-certfile cert.pem --ssl-keyfile key.pem --api-key sk-1 --api-key sk-2 "
        "--api-key-file keys.toml --cors-origin https://a.example/ --cors-origin *"
    )
    engine = EngineConfig(
        model="MODEL",
        max_batch_size=4,
        max_context_tokens=512,
        step_stall_ms=50.0,
        max_step_tokens=64,
        kv_memory_bytes=24_000_000,
        prefix_cache_bytes=5_000_000,
        prefix_cache_dir="some/where",
        prefix_cache_disk_bytes=9_000_000_000,
        cpu_weights="keep",
        forward="padded",
        trust_remote_code=True,
        generation_config="none",
        speculation="off",
    )
    assert parse_args(words.split()) == ServerConfig(
        engine=engine,
        host="127.0.0.1",
        port=9,
        workers=2,
        reload=True,
        verbose=True,
        log_format="json",
        served_model_names=("a", "b", "c"),
        accept_any_model=True,
        allow_special_tokens=True,
        share_prefix_cache=True,
        max_queue=0,
        default_max_tokens=11,
        max_body_bytes=1000,
        request_timeout_seconds=1.5,
        stall_timeout_seconds=2.0,
        exit_when_dead="off",
        idle_read_seconds=4.0,
        uds="some/socket",
        root_path="/llm",
        forwarded_allow_ips="10.0.0.1,10.0.0.2",
        ssl_certfile="cert.pem",
        ssl_keyfile="key.pem",
        api_key_hashes=(hash_of("sk-1"), hash_of("sk-2")),
        api_key_file="keys.toml",
        cors_origins=("https://a.example", "*"),
        drain_seconds=0.0,
        keep_alive_seconds=3.0,
    )


def test_a_key_is_not_kept_and_not_shown_where_it_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert "sk-secret" not in repr(parse_args(["--api-key", "sk-secret"]))
    with pytest.raises(SystemExit):
        parse_args(["--api-key", "sk-secret with blanks"])
    assert "sk-secret" not in capsys.readouterr().err


def test_a_draft_model_is_a_name_like_the_models() -> None:
    assert parse_args([]).engine.draft_model is None
    words = "MODEL --draft-model mlx-community/Qwen3-0.6B-4bit --forward flat"
    assert parse_args(words.split()).engine.draft_model == "mlx-community/Qwen3-0.6B-4bit"


@pytest.mark.parametrize(
    "words",
    [
        "--port 65536",
        "--port -1",
        "--port x",
        "--workers 0",
        "--max-batch-size 0",
        "--max-tokens 1.5",
        "--kv-memory lots",
        "--max-body 0",
        "--request-timeout nan",
        "--drain-seconds inf",
        "--keep-alive-seconds 0",
        "--forward magic",
        "--log-format xml",
        "--prefix-cache-disk 1GB",
        "--prefix-cache-dir",
        "--prefix-cache off --prefix-cache-dir there",
        "--kv-memory 1MB --prefix-cache-memory 2MB",
        "--draft-model",
        "--draft-model=",
        "--draft-model small --speculation off",
        "--draft-model small --forward padded",
        "--api-key=",
        "--api-key-file=",
        "--uds=",
        "--cors-origin a.example",
        "--cors-origin https://a.example/page",
        "--root-path llm",
        "--root-path /a/../b?c",
        "--ssl-keyfile key.pem",
        "--nonsense",
        "model another",
        f"--kv-memory {'9' * 400}",
        f"--kv-memory {'9' * 400}GB",
        f"--max-body 0.{'0' * 400}1",
        "--kv-memory 1e400",
        "--kv-memory 999999999999TB",
        f"--max-context {'9' * 400}",
        f"--port {'9' * 400}",
        f"--request-timeout {'9' * 400}",
        f"--request-timeout 0.{'9' * 4000}",
        "--served-model-name gpt-4o mlx-community/Qwen3-4B-4bit",
        "--served-model-name gpt-4o model.gguf",
        "--served-model-name gpt-4o tests",
        "--served-model-name gpt-4o --served-model-name a b/c",
    ],
)
def test_wrong_values_end_with_code_2_and_one_line(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse_args(words.split())
    assert caught.value.code == 2
    usage, message = capsys.readouterr().err.splitlines()
    assert usage.startswith("usage:")
    assert message.startswith("app.py: error:")
    assert len(message) < 250


@pytest.mark.parametrize(
    ("text", "num_bytes"),
    [
        ("1000", 1000),
        ("24MB", 24_000_000),
        ("8GB", 8_000_000_000),
        ("8 gb", 8_000_000_000),
        ("1.5GiB", 1_610_612_736),
        ("2K", 2000),
        ("1TiB", 1024**4),
    ],
)
def test_sizes(text: str, num_bytes: int) -> None:
    assert parse_size(text) == num_bytes


@pytest.mark.parametrize("text", ["", "MB", "-1MB", "1.MB", "1 B B", "1iB", "0.1", "1e9"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        parse_size(text)


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("--served-model-name org/name", ("org/name",)),
        ("--served-model-name a b", ("a", "b")),
        ("--served-model-name=a --served-model-name=org/b", ("a", "org/b")),
        ("model --served-model-name a org/b", ("a", "org/b")),
        ("--served-model-name a b -- model", ("a", "b")),
    ],
)
def test_names_to_serve_under(words: str, names: tuple[str, ...]) -> None:
    config = parse_args(words.split())
    assert config.served_model_names == names
    assert config.engine.model == ("model" if "model" in words.split() else None)
