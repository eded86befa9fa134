"""Linux's control groups, by which a container is given a part of the machine."""

from __future__ import annotations

from pathlib import Path


def control_group_folders(controller: str, root: Path) -> list[Path]:
    """Where the limits lie that bind this process, of both generations of control groups.

    From this process's groups up to the top; a container often sees its own group as the top.
    """
    mount = root / "sys/fs/cgroup"
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        lines = []
    folders = [mount, mount / controller]
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers or controller in controllers.split(","):
            top = mount / controller if controllers else mount
            group = top / path.lstrip("/")
            folders += [group, *(each for each in group.parents if each.is_relative_to(top))]
    return list(dict.fromkeys(folders))
