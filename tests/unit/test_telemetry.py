"""/metrics counts what the database holds, at the time of asking, and names nobody."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tests.unit.worklist.house import House, analysed, config_of, failed, findings_of, not_analysed, planned
from triaged import __version__
from triaged.clock import Now, now
from triaged.records import OrderPriority
from triaged.store import Store
from triaged.telemetry import registry_of


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    config = config_of(tmp_path)
    with Store(config.database) as store:
        yield House(store, config)


def registry(house: House) -> CollectorRegistry:
    return registry_of(house.store, lambda: {"listener": True, "worker-0": False}, lambda: 512.5)


def scraped(found: CollectorRegistry) -> dict[tuple[str, str], float]:
    """(name, label values) -> value."""
    samples = {}
    for family in text_string_to_metric_families(generate_latest(found).decode()):
        for sample in family.samples:
            samples[sample.name, " ".join(sample.labels.values())] = sample.value
    return samples


def a_morning(house: House, at: Now) -> None:
    """One study of each kind; seven in all."""
    for uid in ("1.1", "1.2", "1.3", "1.4"):
        house.ready(uid, at)
    house.finish_next(analysed(findings_of(0.4)), at.later(20.0), planned("1.1", at))
    house.finish_next(not_analysed(), at.later(45.0))
    house.finish_next(not_analysed(), at.later(700.0))
    house.finish_next(failed(), at.later(8000.0))
    house.ready("1.5", at, OrderPriority.STAT)
    house.ready("1.6", at, OrderPriority.HIGH)
    house.arrive("1.7", at)


def test_studies_are_counted_by_state_reason_and_tier(house: House) -> None:
    a_morning(house, now())
    said = scraped(registry(house))
    states = {state: said["triaged_studies", state] for state in ("analysed", "not_analysed", "failed", "ready")}
    assert states == {"analysed": 1, "not_analysed": 2, "failed": 1, "ready": 2}
    assert said["triaged_studies", "receiving"] == 1
    assert said["triaged_studies", "withdrawn"] == 0, "a state that nobody is in is nought, not absent"
    assert said["triaged_studies_not_analysed", "gap"] == 2
    assert said["triaged_queue_depth", ""] == 2
    assert {tier: said["triaged_unread", tier] for tier in ("stat", "high", "rest")} == {
        "stat": 1,
        "high": 1,
        "rest": 5,
    }


def test_deliveries_and_events_are_counted(house: House) -> None:
    a_morning(house, now())
    said = scraped(registry(house))
    assert (said["triaged_deliveries", "waiting"], said["triaged_deliveries", "parked"]) == (3, 0)
    assert said["triaged_events_total", "received"] == 7
    assert said["triaged_events_total", "claimed"] == 4


def test_time_to_notification_is_a_histogram_from_first_slice_to_outcome(house: House) -> None:
    a_morning(house, now())
    said = scraped(registry(house))
    name = "triaged_time_to_notification_seconds"
    cumulative = [
        said[f"{name}_bucket", edge] for edge in ("10.0", "20.0", "60.0", "600.0", "1800.0", "3600.0", "+Inf")
    ]
    assert cumulative == [0, 1, 2, 2, 3, 3, 4]
    assert said[f"{name}_count", ""] == 4
    assert said[f"{name}_sum", ""] == pytest.approx(20 + 45 + 700 + 8000, abs=0.1)


def test_the_histogram_only_grows_as_rates_need_it_to(house: House) -> None:
    a_morning(house, now().later(-2.5 * 86400.0))
    assert scraped(registry(house))["triaged_time_to_notification_seconds_count", ""] == 4


def test_the_house_itself_is_told(house: House) -> None:
    said = scraped(registry(house))
    assert (said["triaged_child_up", "listener"], said["triaged_child_up", "worker-0"]) == (1, 0)
    assert said["triaged_storage_free_megabytes", ""] == 512.5
    assert said["triaged_build_info", __version__] == 1


def test_counts_are_those_of_the_scrape_and_not_of_the_start(house: House) -> None:
    found = registry(house)
    assert scraped(found)["triaged_queue_depth", ""] == 0
    house.ready("1.1", now())
    assert scraped(found)["triaged_queue_depth", ""] == 1


def test_no_label_names_a_study_or_a_patient(house: House) -> None:
    a_morning(house, now())
    text = generate_latest(registry(house)).decode()
    for secret in ("SECRET", "1.1", "1.5", "1.2.3.1"):
        assert f'"{secret}' not in text
    assert "SECRET" not in text
