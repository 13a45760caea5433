"""Minutes of load with a random fault every few seconds; at the end every window and alert is the oracle's.

``make soak`` runs it. ``SOAK_MINUTES`` (20), ``SOAK_RATE`` (20,000 events/s), ``SOAK_FAULT_EVERY`` (15 s) and
``TEST_SEED`` change it.
"""

from __future__ import annotations

import os
import random
import signal
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from stream.embedded import EmbeddedKafka, EmbeddedRedis
from tests.faults.figures import Figures
from tests.faults.nursery import ForkedWorker, Nursery
from tests.faults.scene import Scene
from tests.faults.traffic import TrafficSpec

pytestmark = [pytest.mark.services, pytest.mark.soak]

MINUTES = float(os.environ.get("SOAK_MINUTES", "20"))
RATE = int(os.environ.get("SOAK_RATE", "20000"))
FAULT_EVERY_S = float(os.environ.get("SOAK_FAULT_EVERY", "15"))
TELLING_MINUTES = 10
"""In a shorter run the workers still warm up."""
FLAT = 1.15
"""The median memory of the last quarter over that of the second one."""


class Faults:
    """What goes wrong, one at a time, drawn by a seed; counts what it did."""

    def __init__(self, scene: Scene, kafka: EmbeddedKafka, seed: int) -> None:
        self.scene, self.kafka = scene, kafka
        self.done: Counter[str] = Counter()
        self._random = random.Random(seed)
        self._kinds: list[Callable[[], None]] = [
            self.worker_killed,
            self.worker_stopped,
            self.worker_frozen,
            self.redis_killed,
            self.redis_frozen,
            self.redis_cut_off,
            self.replies_lost,
            self.connections_reset,
            self.broker_restarted,
        ]

    def one(self) -> None:
        """Let something go wrong and end."""
        kind = self._random.choice(self._kinds)
        kind()
        self.done[kind.__name__] += 1
        self.scene.injected()

    def _worker(self) -> ForkedWorker:
        return self._random.choice(self.scene.workers)

    def worker_killed(self) -> None:
        worker = self._worker()
        worker.kill()
        worker.start()

    def worker_stopped(self) -> None:
        worker = self._worker()
        assert worker.stop() == 0, self.scene.hint()
        worker.start()

    def worker_frozen(self) -> None:
        self._frozen(self._worker().process.pid, self._random.uniform(1, 9))

    def redis_frozen(self) -> None:
        assert self.scene.redis.pid is not None
        self._frozen(self.scene.redis.pid, self._random.uniform(1, 9))

    def redis_killed(self) -> None:
        self.scene.redis.kill()
        time.sleep(self._random.uniform(0, 3))
        self.scene.redis.start()

    def redis_cut_off(self) -> None:
        self.scene.proxy.faults.cut = True
        time.sleep(self._random.uniform(1, 5))
        self.scene.proxy.faults.cut = False

    def replies_lost(self) -> None:
        self.scene.proxy.faults.mute = True
        time.sleep(self._random.uniform(0.1, 1))
        self.scene.proxy.faults.mute = False
        self.scene.proxy.reset()

    def connections_reset(self) -> None:
        for _ in range(5):
            self.scene.proxy.reset()
            time.sleep(self._random.uniform(0, 0.5))

    def broker_restarted(self) -> None:
        self.kafka.kill()
        self.kafka.start()

    def _frozen(self, pid: int, seconds: float) -> None:
        os.kill(pid, signal.SIGSTOP)
        time.sleep(seconds)
        os.kill(pid, signal.SIGCONT)


@pytest.fixture
def own_kafka(kafka_parts: list[Path]) -> Iterator[EmbeddedKafka]:
    """A broker to be killed."""
    with EmbeddedKafka() as broker:
        yield broker


def test_soak(
    tmp_path: Path,
    own_kafka: EmbeddedKafka,
    own_redis: EmbeddedRedis,
    nursery: Nursery,
    seed: int,
    table: Callable[[Figures], None],
) -> None:
    seconds = max(int(MINUTES * 60), 40)
    spec = TrafficSpec(
        seed=seed, slices=seconds, per_slice=RATE, slice_ms=1_000, partitions=8, poison=0.002, twice=0.002
    )
    with Scene(
        tmp_path,
        kafka=own_kafka,
        redis=own_redis,
        nursery=nursery,
        traffic=spec,
        consumer={"session_timeout": "6s"},
        ingest={"flush_interval": "250ms"},
    ) as scene:
        scene.log = None
        for name in ("one", "two"):
            scene.ready(name, fresh=False)
        faults, over = Faults(scene, own_kafka, seed), threading.Event()
        memory: list[float] = []
        broken: list[BaseException] = []

        def trouble() -> None:
            try:
                while not over.wait(FAULT_EVERY_S):
                    faults.one()
            except BaseException as exc:
                broken.append(exc)

        troubled = threading.Thread(target=trouble, name="trouble")
        troubled.start()
        try:
            began = time.monotonic()
            for second in range(seconds):
                scene.send()
                memory.append(resident(scene.workers))
                time.sleep(max(0.0, began + second + 1 - time.monotonic()))
                if second % 30 == 0:
                    sent, counted = scene.traffic.events, scene.counted()
                    print(f"{second:5d} s  sent {sent:,}  counted {counted:,}  {memory[-1]:.0f} MiB a worker")
                assert not broken, broken
        finally:
            over.set()
            troubled.join(120)
        figures = scene.settle(f"soak {MINUTES:g} min at {RATE:,}/s", timeout_s=300)
        quarter = len(memory) // 4
        before, after = (
            statistics.median(part) for part in (memory[quarter : 2 * quarter], memory[-quarter:])
        )
        print(f"faults {dict(faults.done)}")
        print(f"the oracle's: {len(scene.oracle.records)} windows, {len(scene.oracle.alerts)} alerts")
        print(f"resident memory of a worker: {before:.0f} MiB in the second quarter, {after:.0f} in the last")
        if MINUTES >= TELLING_MINUTES:
            assert after <= FLAT * before + 10, "memory grows"
        table(figures)


def resident(workers: list[ForkedWorker]) -> float:
    """Mean resident memory of the workers that live, in MiB."""
    sizes = []
    for worker in workers:
        try:
            sizes.append(psutil.Process(worker.process.pid).memory_info().rss / 2**20)
        except psutil.Error:
            continue
    return statistics.fmean(sizes) if sizes else 0.0
