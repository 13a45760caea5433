"""The ingest benchmark itself: on a broker that is there already, exact, and nothing left on it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from confluent_kafka.admin import AdminClient

from benchmarks.ingest import LINE, OTHER_THREADS, OURS, Plan, measure
from benchmarks.ingest_report import print_tables
from benchmarks.ingest_variants import Variant

pytestmark = pytest.mark.services
PLAN = Plan(events=4_000, runs=1, partitions=2, peer_share=0, variants=(Variant.POISON_1,), profile=True)


@pytest.fixture(scope="module")
def said():
    return []


@pytest.fixture(scope="module")
def report(kafka, said):
    return measure(replace(PLAN, broker=kafka.bootstrap_servers), said.append)


def test_the_worker_the_yardstick_and_the_variant_are_measured(report, said):
    assert list(report["results"])[:2] == [OURS, LINE]
    assert report["results"][OURS]["ours_is"] == 1
    for row in (*report["results"].values(), *report["variants"].values()):
        assert row["events"] == PLAN.events
        assert row["events_per_core_second"] > 0
    assert report["variants"][Variant.POISON_1]["of_plain"] > 0
    assert said[-1] == f"Run 1 of 1: {Variant.POISON_1}"


def test_stages_of_the_join_are_in_the_profile_and_all_of_it_adds_up(report):
    stages = report["stages"]
    assert {"consume", "commit", "dead letters", OTHER_THREADS} <= stages.keys()
    assert {"join: ids hashed, rows taken", "join: rows merged", "join: rows packed"} <= stages.keys()
    assert min(stages.values()) >= 0
    assert sum(ns for stage, ns in stages.items() if stage.startswith("decode: ")) > 0


def test_the_tables_name_what_was_measured(report, capsys):
    print_tables(report)
    told = capsys.readouterr().out
    assert "straight-line script" in told
    assert "1 % poison" in told
    assert "join: rows packed" in told


def test_topics_and_groups_are_deleted(report, kafka):
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    assert not [name for name in admin.list_topics().topics if "driftstream-bench" in name]
    groups = admin.list_consumer_groups().result().valid
    assert not [each.group_id for each in groups if "driftstream-bench" in each.group_id]
