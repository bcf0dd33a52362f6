"""The test mode's own key-encryption key: made once, whole or not at all, for its owner only."""

import threading
from pathlib import Path

from tests.simulated import SimIds
from tongbao.bootstrap import _keks
from tongbao.config import read_settings
from tongbao.system import SystemIds


def test_processes_that_start_together_get_one_whole_key(tmp_path: Path) -> None:
    settings = read_settings({}, data_dir=str(tmp_path / "data"))
    found: list[bytes] = []
    ready = threading.Barrier(8)

    def start() -> None:
        ready.wait()
        found.extend(_keks(settings, SystemIds()))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert len(found[0]) == 32
    (file,) = (tmp_path / "data").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_start_that_died_leaves_no_half_a_key(tmp_path: Path) -> None:
    class Dying(SimIds):
        def random_bytes(self, count: int) -> bytes:
            raise MemoryError

    settings = read_settings({}, data_dir=str(tmp_path))
    for ids in (Dying(), Dying(start=100)):
        try:
            _keks(settings, ids)
        except MemoryError:
            assert not (tmp_path / "master.key").exists()
    (key,) = _keks(settings, SystemIds())
    assert len(key) == 32
