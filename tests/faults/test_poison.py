"""Records that are no events: a few among many, one that is huge, and nothing else."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence

import pytest
from confluent_kafka import Message, Producer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

from tests.faults.figures import Figures
from tests.faults.scene import Scene
from tests.faults.traffic import POISON, Sent
from tests.integration.pipeline import eventually, header, values

pytestmark = [pytest.mark.services, pytest.mark.faults]
MakeScene = Callable[..., Scene]
Table = Callable[[Figures], None]
Keyed = tuple[bytes | None, Sent]
HUGE = 50_000_000
LARGEST = 60_000_000


def event(scene: Scene, *, x: str = "0.5", ts: str | None = None) -> bytes:
    """An event of the first window; ``x`` and ``ts`` as JSON."""
    start_ms = scene.traffic.start_ms + 100
    return (
        f'{{"prediction_id":"p","model":"m0","ts":{ts or start_ms},"features":{{"x":{x},"c":"a"}}}}'
    ).encode()


def poison(scene: Scene, chance: random.Random) -> bytes | None:
    """One of the known kinds, or an event that is cut, of another schema, or has what JSON has not."""
    good = event(scene)
    kinds = [
        *POISON,
        good[: chance.randrange(1, len(good))],
        b"\x00\x00\x00\x00\x07" + good,  # a schema id of a registry
        b'{"id":7,"score":0.5}',
        event(scene, x="NaN"),
        event(scene, x="Infinity"),
        event(scene, ts='"yesterday"'),
        event(scene, x='{"a":' * 500 + "1" + "}" * 500),
        good.replace(b'"c":"a"', b'"c":"\xed\xa0\x80"'),  # half of a surrogate pair
        chance.randbytes(chance.randrange(1, 300)),
    ]
    return chance.choice(kinds)


def key(chance: random.Random) -> bytes | None:
    """Keys say nothing to us: text, bytes that are none, or no key."""
    return chance.choice([None, b"", b"key", b"\xff\xfe\x00", chance.randbytes(40)])


def produce(scene: Scene, records: Sequence[Keyed], producer: Producer) -> None:
    """Send records with their keys, and let the ledger and the oracle know."""
    scene.oracle.feed([sent for _, sent in records])
    for name, (role, partition, value) in records:
        producer.produce(scene.pipeline.topics[role], value, name, partition=partition)
    assert producer.flush(90) == 0


def send_mixed(scene: Scene, chance: random.Random, slices: int) -> list[tuple[bytes | None, bytes | None]]:
    """The next slices with 1 % poison among them; key and value of what is poison."""
    bad: list[tuple[bytes | None, bytes | None]] = []
    for _ in range(slices):
        good = scene.traffic.slice(scene._next)
        scene._next += 1
        records: list[Keyed] = [(key(chance), each) for each in good]
        for _ in range(len(good) // 100):
            name, value = key(chance), poison(scene, chance)
            where = chance.randrange(scene.traffic.spec.partitions)
            records.insert(chance.randrange(len(records)), (name, Sent("inference", where, value)))
            bad.append((name, value))
        scene.traffic.poison += len(good) // 100
        scene.traffic.events += len(good) // 100
        produce(scene, records, scene._producer)
    return bad


def letters(records: Sequence[Message]) -> Counter[tuple[bytes | None, bytes | None]]:
    """Dead letters; one that came twice has the same id and counts once."""
    by_id = {header(each, "driftstream.errors.id"): (each.key(), each.value()) for each in records}
    return Counter(by_id.values())


def allow_huge(scene: Scene) -> Producer:
    """Let the topics take records of 50 MB; a producer that sends them."""
    entry = ConfigEntry("max.message.bytes", str(LARGEST), incremental_operation=AlterConfigOpType.SET)
    names = [scene.pipeline.topics["inference"], f"{scene.pipeline.topics['inference']}.dlq"]
    servers = {"bootstrap.servers": scene.pipeline.kafka.bootstrap_servers, "log_level": 0}
    topics = [ConfigResource(ConfigResource.Type.TOPIC, name, incremental_configs=[entry]) for name in names]
    admin = AdminClient(servers)
    for future in admin.incremental_alter_configs(topics).values():
        future.result(20)
    return Producer({**servers, "message.max.bytes": LARGEST})


def test_one_in_a_hundred_is_poison(make_scene: MakeScene, table: Table, seed: int) -> None:
    """Fault 32: one dead letter each with its very bytes, through a crash; a record of 50 MB too."""
    scene, chance = make_scene(), random.Random(seed)
    producer = allow_huge(scene)
    worker = scene.ready()
    bad = send_mixed(scene, chance, 8)
    huge = (b"\xffhuge", chance.randbytes(HUGE))
    produce(scene, [(huge[0], Sent("inference", 1, huge[1]))], producer)
    scene.traffic.poison += 1
    scene.traffic.events += 1
    worker.kill()
    with scene.progress(limit_s=20):
        scene.again(worker)
    twice = event(scene).replace(b'"ts":', b'"ts":"no time","ts":')
    produce(scene, [(b"\xff", Sent("inference", 0, twice))], producer)  # the last of equal keys counts
    scene.traffic.windows["m0", scene.traffic.start_ms] += 1
    scene.traffic.events += 1
    bad += [*send_mixed(scene, chance, 4), huge]
    scene.injected(len(bad))
    figures = scene.settle("32 one in a hundred is poison", exact=False)
    dead = scene.pipeline.reader("inference.dlq")
    eventually(
        lambda: letters(dead.poll()) == Counter(bad), lambda: f"{len(bad)} letters, {len(dead.records)}"
    )
    assert all(header(each, "driftstream.errors.reason") for each in dead.records)
    table(figures)


def test_nothing_but_poison(make_scene: MakeScene, table: Table) -> None:
    """Fault 33: the intake pauses and tells once; every record is dead-lettered, what follows is counted."""
    scene = make_scene(errors={"flood_records": 200, "probe_every": "300ms"})
    worker = scene.ready()
    scene.send()
    scene.await_counted()
    flood = [(b"k", Sent("inference", n % 4, b"no event")) for n in range(3_000)]
    produce(scene, flood, scene._producer)
    scene.traffic.poison += len(flood)
    scene.traffic.events += len(flood)
    scene.injected(len(flood))
    eventually(lambda: "is paused" in worker.get("/readyz")[1], lambda: worker.get("/readyz"))
    assert worker.get("/readyz")[0] == 503
    scene.send(8)
    figures = scene.settle("33 nothing but poison", exact=False)
    worker.await_ready()
    alerts, dead = scene.pipeline.reader("alerts"), scene.pipeline.reader("inference.dlq")

    def told() -> list[str]:
        of_all = values(alerts.poll())
        return [each["status"] for each in of_all if each["labels"]["alertname"] == "dead_letter_flood"]

    eventually(lambda: told() == ["firing", "resolved"], lambda: f"{told()}; {scene.hint()}")
    assert letters(dead.poll()) == Counter({(b"k", b"no event"): len(flood)})
    table(figures)
