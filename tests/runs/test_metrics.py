import pytest
from prometheus_client import CollectorRegistry, generate_latest

from apps.runs.metrics import RunCollector
from tests.factories import RunFactory


def scraped():
    registry = CollectorRegistry()
    registry.register(RunCollector())
    return generate_latest(registry).decode()


@pytest.mark.django_db
def test_runs_by_state_and_environment():
    RunFactory(at="lost")
    RunFactory(at="failed")
    said = scraped()
    assert 'flowcontrol_runs{environment="dev",state="running"} 1.0' in said
    assert 'flowcontrol_runs{environment="dev",state="lost"} 1.0' in said
    assert 'flowcontrol_runs{environment="dev",state="queued"} 0.0' in said
    assert 'flowcontrol_runs_ended_24h{environment="dev",state="failed"} 1.0' in said


@pytest.mark.django_db
def test_a_scrape_costs_the_same_however_much_there_is(django_assert_max_num_queries):
    for _ in range(5):
        RunFactory(at="succeeded")
    with django_assert_max_num_queries(4):
        scraped()
