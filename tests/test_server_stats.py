from __future__ import annotations

import json

from api.observability.metrics import Metrics
from api.server_stats import ServerStats, prefix_cache_section, prefix_disk_section
from api.stats import DeviceBytes, PrefixCacheStats, PrefixDiskStats, RunningChat, SchedulerStats


def create_stats(scheduler: SchedulerStats, num_sequences: int = 0) -> ServerStats:
    metrics = Metrics()
    metrics.step_done(0.1, num_prompt_tokens=4, num_output_tokens=1, num_running=3)
    device = DeviceBytes(loaded_bytes=100, active_bytes=275, cache_bytes=30, peak_bytes=300)
    return ServerStats(
        "ok", {"parameters": 1}, metrics.snapshot(), scheduler, device, 2, num_sequences, max_running=32
    )


def test_the_sections_are_json_and_leave_the_snapshot_as_it_is() -> None:
    stats = create_stats(SchedulerStats(num_running=3, kv_used_bytes=70), num_sequences=8)
    found = json.loads(json.dumps(stats.as_dict()))
    assert found == json.loads(json.dumps(stats.as_dict()))
    assert found["requests"]["live"] == 2
    assert (found["batch"]["running"], found["batch"]["queued"], found["batch"]["peak_running"]) == (3, 5, 3)
    assert found["kv_memory"]["used_bytes"] == 70
    assert found["tokens"]["prompt_total"] == 4
    assert "peak_running" not in found


def test_rows_that_are_not_released_yet_queue_for_nothing() -> None:
    assert create_stats(SchedulerStats(num_running=2), num_sequences=1).as_dict()["batch"]["queued"] == 0


def test_running_chats_are_numbers_only() -> None:
    chat = RunningChat(100, 64, 32, num_output_tokens=0, max_output_tokens=50, slot_tokens=256)
    assert create_stats(SchedulerStats(running_chats=(chat,))).as_dict()["running_chats"] == [
        {
            "prompt_tokens": 100,
            "prefilled_tokens": 64,
            "cached_tokens": 32,
            "output_tokens": 0,
            "max_output_tokens": 50,
            "slot_tokens": 256,
        }
    ]


def test_proposals_are_told_apart_by_their_source() -> None:
    scheduler = SchedulerStats(
        num_proposed_tokens=50, num_accepted_tokens=25, num_drafted_tokens=40, num_accepted_drafts=16
    )
    found = create_stats(scheduler).as_dict()["speculation"]
    assert found["text"] == {"proposed_tokens": 10, "accepted_tokens": 9, "acceptance_rate": 0.9}
    assert found["draft_model"] == {"proposed_tokens": 40, "accepted_tokens": 16, "acceptance_rate": 0.4}


def test_the_prefix_cache_in_tokens_blocks_and_bytes() -> None:
    stats = PrefixCacheStats(300, 100, num_blocks=4, num_evicted_blocks=7, used_bytes=64, limit_bytes=128)
    assert prefix_cache_section(stats) == {
        "enabled": True,
        "hit_rate": 0.3333,
        "asked_tokens": 300,
        "hit_tokens": 100,
        "blocks": 4,
        "evicted_blocks": 7,
        "used_bytes": 64,
        "limit_bytes": 128,
    }


def test_a_cache_that_is_off_has_no_rate() -> None:
    section = prefix_cache_section(PrefixCacheStats())
    assert (section["enabled"], section["hit_rate"]) == (False, 0.0)


def test_the_tier_on_disk_is_part_of_the_prefix_cache() -> None:
    stats = PrefixDiskStats(4, 64, 128, num_hit_tokens=96, num_written_blocks=3, num_skipped_blocks=2)
    assert prefix_disk_section(stats) == {
        "enabled": True,
        "hit_tokens": 96,
        "blocks": 4,
        "written_blocks": 3,
        "skipped_blocks": 2,
        "damaged_files": 0,
        "used_bytes": 64,
        "limit_bytes": 128,
    }
    assert create_stats(SchedulerStats()).as_dict()["prefix_cache"]["disk"]["enabled"] is False


def test_what_the_device_holds_is_compared_with_the_account() -> None:
    scheduler = SchedulerStats(kv_reserved_bytes=70, prefix_cache=PrefixCacheStats(used_bytes=100))
    assert create_stats(scheduler).as_dict()["device_memory"] == {
        "active_bytes": 275,
        "loaded_bytes": 100,
        "unaccounted_bytes": 5,
        "buffer_cache_bytes": 30,
        "peak_bytes": 300,
    }
