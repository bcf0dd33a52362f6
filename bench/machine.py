"""What the figures were measured on: without this line they mean nothing."""

import os
import platform
from pathlib import Path


def _first(path: str, key: str) -> str:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(key)), "")


def file_system(folder: Path) -> str:
    """The kind of file system that a folder lies on; fsync on tmpfs would be free."""
    try:
        mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return "unknown"
    path = folder.resolve()
    matching = [(fields[1], fields[2]) for fields in mounts if path.is_relative_to(fields[1])]
    return max(matching, key=lambda mount: len(mount[0]), default=("", "unknown"))[1]


def line() -> str:
    """CPU, cores, memory, system, Python."""
    cpu = _first("/proc/cpuinfo", "model name") or platform.processor() or platform.machine()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory_kib = _first("/proc/meminfo", "MemTotal").split(" ")[0]
    memory = f"{int(memory_kib) / 2**20:.0f} GiB" if memory_kib else "memory unknown"
    return (
        f"{cpu}, {cores} cores, {memory}, {platform.system()} {platform.release()}, Python {platform.python_version()}"
    )


def load() -> float:
    """How many processes wanted to run during the last minute, on average."""
    return os.getloadavg()[0]
