"""The cases of staging against a real small stack: what is whole passes, and each that is broken is named."""

import json
import re
import socketserver
from dataclasses import replace

import pytest
from django.db import connection
from django.test import override_settings

from apps.environments.models import Environment
from apps.jobs.models import Worker
from apps.jobs.moment import moment
from apps.portal.cases.staging import basic, integration, performance, probe, stack, system, throwaway
from apps.testruns.cases.checks import Skip, registry
from apps.testruns.cases.model import Place
from tests.environments.containers.projects import docker, needs_engine
from tests.portal.staging.stacks import again, services, started


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    with started(folder, services(folder)) as there:
        yield there


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """Everything that is wrong of itself, in one stack."""
    folder = tmp_path_factory.mktemp("broken")
    made = services(folder)
    made["app"]["command"][-1] = "<p>something else</p>"
    made["webhook"]["command"][-1] = "no status"
    made["postgres"] |= {"networks": ["front", "back"], "volumes": []}
    made["beat"] |= {"ports": ["127.0.0.1::7000"], "restart": "unless-stopped"}
    made["worker"] |= {"privileged": True, "user": "root", "volumes": ["/var/run/docker.sock:/var/run/docker.sock"]}
    made["controller"] |= {"logging": {"driver": "json-file"}}
    made["redis"] |= {"command": ["redis-server", "--appendonly", "no", "--save", ""]}
    made["proxy"]["ports"] = ["127.0.0.1::8080"]
    for name in ("mem_limit", "cpus", "pids_limit"):
        del made["controller"][name]
    with started(folder, made) as there:
        yield there


def names(sentences):
    """The service that each sentence is about."""
    return [re.search(r"-([a-z]+)-\d+ ", each)[1] for each in sentences]


class TestBasic:
    def test_a_stack_that_works(self, whole):
        assert basic.services_that_do_not_work(whole) == []
        assert basic.wrong_answers(whole) == []
        assert basic.containers_without_rotation(whole) == []
        assert basic.writes_anything(whole)

    def test_a_service_that_is_stopped_or_gone_is_named(self, whole):
        beat, worker = whole.one("beat"), whole.one("worker")
        docker("stop", "--time", "1", beat.container)
        docker("pause", worker.container)
        try:
            now = again(whole)
            said = basic.services_that_do_not_work(now)
            assert names(said) == ["beat", "worker"]
            assert "is exited" in said[0]
            assert "is paused" in said[1]
            without = replace(now, containers=tuple(each for each in now.containers if each.service != "redis"))
            assert "redis was not started" in basic.services_that_do_not_work(without)
        finally:
            docker("unpause", worker.container)
            docker("start", beat.container)

    def test_one_of_the_release_before_may_have_ended(self, whole):
        old = replace(whole.one("app"), state="exited", health="", exit_code=0, name="old")
        assert basic.services_that_do_not_work(replace(whole, containers=(*whole.containers, old))) == []
        sick = replace(whole.one("app"), health="unhealthy")
        assert basic.services_that_do_not_work(replace(whole, containers=(*whole.containers, sick))) != []

    def test_ports_that_answer_otherwise_and_one_that_is_not_on_the_host(self, broken):
        assert basic.wrong_answers(broken) == [
            "port 8080 shows no login page",
            "port 9001 does not tell the webhook service's status",
            "the proxy's port 9001/tcp is not published on the host",
        ]

    def test_a_portal_that_does_not_answer(self, whole):
        app = whole.one("app")
        docker("stop", "--time", "1", whole.one("webhook").container)
        try:
            (said,) = basic.wrong_answers(whole)
            assert "http://proxy:9001/ answers 502" in said
        finally:
            docker("start", whole.one("webhook").container)
        assert app.state == "running"

    def test_a_log_that_is_kept_for_ever(self, broken):
        assert names(basic.containers_without_rotation(broken)) == ["controller"]

    @pytest.mark.parametrize("kept", [1, 5])
    def test_a_handler_that_turns_its_file_over(self, kept):
        basic.turns_over({"backupCount": kept})

    def test_a_handler_that_does_not(self):
        with pytest.raises(AssertionError, match="never turned over"):
            basic.turns_over({"backupCount": 0})

    def test_a_file_that_has_grown_too_large(self, settings, tmp_path):
        settings.LOGS = tmp_path
        settings.LOGGING = {"handlers": {"file": {"maxBytes": 100, "backupCount": 2}}}
        (tmp_path / "web.jsonl").write_text("x" * 101)
        with pytest.raises(AssertionError, match=r"web\.jsonl has 101 bytes"):
            basic.log_files_turn_over()


class TestSystem:
    def test_a_stack_that_is_apart_and_kept_within_limits(self, whole):
        assert system.within_reach(whole) == []
        assert system.published_by_others(whole) == []
        assert system.too_mighty(whole) == []
        for each in whole.running:
            assert (system.missing_limits(each), system.limits_not_kept(whole, each)) == ([], []), each.name

    def test_a_database_that_the_proxy_reaches(self, broken):
        assert names(system.within_reach(broken)) == ["postgres"]

    def test_a_port_of_another_service(self, broken):
        (said,) = system.published_by_others(broken)
        assert re.search(r"-beat-1 publishes 7000/tcp on port \d+ of the host", said)

    def test_a_container_that_is_too_mighty(self, broken):
        said = system.too_mighty(broken)
        assert names(said) == ["worker"] * 3
        assert [each.split(" ", 1)[1] for each in said] == [
            "is privileged",
            "runs as root",
            "has the socket of the engine: only the controller may",
        ]

    def test_a_limit_that_is_missing(self, broken):
        said = system.missing_limits(broken.one("controller"))
        assert [each.rpartition(" ")[2] for each in said] == ["memory", "cpus", "pids"]

    @pytest.mark.parametrize("name", ["memory_bytes", "cpus", "pids"])
    def test_a_limit_that_is_not_in_force(self, whole, broken, name):
        """As the engine tells it, the container has one; the kernel knows of none, or of another."""
        none = broken.one("controller")
        for each in (whole.one("worker"), none):
            wanted = {name: 2 * (getattr(each.limits, name) or 64 * 1024**2)}
            (said,) = system.limits_not_kept(whole, replace(each, limits=replace(none.limits, **wanted)))
            assert "the kernel keeps it to" in said

    def test_a_container_that_does_not_come_back(self, broken):
        assert [each.service for each in broken.running if each.restart_policy != "always"] == ["beat"]


class TestIntegration:
    def test_data_in_volumes(self, whole, broken):
        assert integration.not_in_a_volume(whole) == []
        assert names(integration.not_in_a_volume(broken)) == ["postgres"]

    def test_redis_keeps_what_it_was_given(self, whole):
        integration.survives_restart(whole)

    def test_redis_that_forgets(self, broken):
        with pytest.raises(AssertionError, match="gone after a restart"):
            integration.survives_restart(broken)

    def test_an_address_of_another_is_told(self, whole):
        address = next(iter(whole.one("redis").networks.values()))
        integration._is_one_of(whole, "redis", address)
        with pytest.raises(AssertionError, match="the stack's postgres at"):
            integration._is_one_of(whole, "postgres", address)

    def test_a_container_is_known_by_its_host_name(self, whole):
        worker = whole.one("worker")
        assert integration.host_is_one_of((worker,), worker.container[:12])
        assert not integration.host_is_one_of((worker,), "")
        assert not integration.host_is_one_of((worker,), whole.one("beat").container[:12])

    def test_a_container_whose_health_nobody_asks_after(self, whole):
        assert integration.not_asked(whole) == []
        beat = replace(whole.one("beat"), health="")
        assert names(integration.not_asked(replace(whole, containers=(beat,)))) == ["beat"]


class TestPerformance:
    def test_a_load_is_measured_through_the_proxy(self, whole):
        with override_settings(LOAD_REQUESTS=60, LOAD_PARALLEL=4, LOAD_SECONDS=20, LOAD_P95_MS=9000, LOAD_RATE=1):
            figures = performance.load(whole, "http://proxy:8080/admin/login/")
            assert (figures.requests, figures.failed) == (60, 0)
            assert 0 < figures.p95_ms < 9000
            assert performance.over_budget(figures) == []

    def test_errors_under_load_are_counted(self, whole):
        with override_settings(LOAD_REQUESTS=10, LOAD_PARALLEL=2):
            figures = performance.load(whole, "http://proxy:8080/broken")
        assert (figures.requests, figures.failed) == (10, 10)
        assert "500" in figures.errors
        assert "10 failed, LOAD_ERRORS is 0: 500" in performance.over_budget(figures)[0]

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"requests": 0}, "nothing was answered"),
            ({"failed": 1, "errors": "500"}, "1 failed"),
            ({"p95_ms": 1001.0}, "p95 is 1001 ms"),
            ({"per_second": 9.9}, "9.9 requests/s"),
        ],
    )
    def test_each_budget_can_be_broken(self, change, said):
        fits = performance.Figures(200, 0, "", 50.0, 900.0)
        assert performance.over_budget(fits) == []
        (wrong,) = performance.over_budget(replace(fits, **change))
        assert said in wrong

    def test_what_containers_use_is_known_and_below_their_limits(self, whole):
        used = performance.use_of(whole, whole.running)
        assert len(used) == 8
        assert all(each.memory_bytes > 0 for each in used)
        assert [fault for each in used for fault in performance.near_limits(each)] == []

    def test_near_a_limit_is_told(self, whole):
        worker = whole.one("worker")
        used = performance.Use(worker, int(0.96 * worker.limits.memory_bytes), 0.49)
        memory, cpus = performance.near_limits(used)
        assert "bytes" in memory
        assert "of 0.5 CPUs" in cpus

    def test_a_container_that_is_busy_is_seen_to_be(self, whole):
        busy = throwaway.container(whole, "busybox:1", ["sh", "-c", "while :; do :; done"], nano_cpus=300_000_000)
        with busy as container:
            inspected = whole.client.api.inspect_container(container.id)
            (used,) = performance.use_of(whole, (stack.found.of(inspected),))
        assert 0.1 < used.cpus < 0.5

    def test_the_portal_is_reached_by_its_port_on_the_host(self, whole):
        assert performance.portal_of(whole).startswith("http://127.0.0.1:")


class TestThrowaway:
    def test_nothing_is_left_of_it(self, whole):
        throwaway.ask(whole, "get", "http://proxy:8080/", seconds=30)
        assert docker("ps", "--all", "--quiet", "--filter", f"label={throwaway.LABEL}={whole.project}") == ""

    def test_nothing_is_left_of_one_that_is_late(self, whole):
        with pytest.raises(AssertionError, match="did not end within 2 s"):
            throwaway.ask(whole, "load", "http://proxy:8080/", "1000000", "1", "60", seconds=2)
        assert docker("ps", "--all", "--quiet", "--filter", f"label={throwaway.LABEL}={whole.project}") == ""

    def test_what_a_killed_case_left_is_removed_when_it_is_old(self, whole, monkeypatch):
        left = docker("run", "--detach", "--label", f"{throwaway.LABEL}={whole.project}", "busybox:1", "sleep", "600")
        try:
            throwaway._remove_left(whole)
            assert docker("inspect", "--format", "{{.State.Status}}", left) == "running", "it may be another case's"
            monkeypatch.setattr(throwaway, "OLD", throwaway.timedelta(0))
            throwaway._remove_left(whole)
            assert docker("ps", "--all", "--quiet", "--filter", f"id={left}") == ""
        finally:
            docker("rm", "--force", left, check=False)

    def test_it_is_no_service_of_the_stack(self, whole):
        """Also with an image that compose built: that has compose's labels itself."""
        made = docker("create", "busybox:1")
        labels = (f"{stack.found.PROJECT_LABEL}={whole.project}", f"{stack.found.SERVICE_LABEL}=app")
        image = docker("commit", *(f"--change=LABEL {each}" for each in labels), made)
        try:
            with throwaway.container(whole, image, ["sleep", "60"]):
                assert len(again(whole).containers) == 8
        finally:
            docker("rm", made)
            docker("rmi", image)


class TestProbe:
    @pytest.fixture
    def nothing_there(self):
        with socketserver.TCPServer(("127.0.0.1", 0), socketserver.BaseRequestHandler) as server:
            port = server.server_address[1]
        return f"http://127.0.0.1:{port}/"

    def test_nothing_that_answers_is_status_0_with_the_reason(self, nothing_there):
        said = probe.get(nothing_there)
        assert said["status"] == 0
        assert "refused" in said["error"]

    def test_a_load_begins_nothing_after_its_time(self, nothing_there):
        assert probe.load(nothing_there, 1000, 2, 0.0)["requests"] == 0

    def test_it_prints_one_document(self, nothing_there, capsys):
        probe.main("load", nothing_there, "3", "2", "5")
        document = json.loads(capsys.readouterr().out)
        assert (document["requests"], document["failed"]) == (3, 3)


@pytest.mark.django_db(transaction=True)
class TestStack:
    @pytest.fixture
    def staging(self):
        return Environment.objects.get_or_create(slug="staging", defaults={"name": "Staging", "position": 2})[0]

    def test_cases_of_staging_are_found(self):
        layers = {case.layer for case in registry.cases("staging") if case.environments == ("staging",)}
        assert layers == {"L0", "L1", "L2", "L3", "L5"}

    def test_a_registered_case_passes_on_a_stack_of_that_name(self, whole, staging, tmp_path):
        Environment.objects.filter(pk=staging.pk).update(project=whole.project)
        place = Place("staging", tmp_path)
        assert "redis" in basic.services_run(place)
        assert "Docker Engine" in system.engine_can_limit(place)
        assert "128 MiB" in system.limits_are_in_force(place)
        assert "CPUs" in performance.use_is_below_the_limits(place)
        for case in (system.networks_are_apart, system.only_the_proxy_is_published, system.restarts_are_on):
            case(place)

    def test_and_fails_on_one_that_is_broken(self, broken, staging, tmp_path):
        Environment.objects.filter(pk=staging.pk).update(project=broken.project)
        for case in (
            basic.proxy_answers,
            basic.logs_turn_over,
            system.networks_are_apart,
            system.only_the_proxy_is_published,
            system.containers_are_confined,
            system.restarts_are_on,
            system.limits_are_in_force,
            integration.data_is_in_volumes,
            integration.data_outlives_a_restart,
        ):
            with pytest.raises(AssertionError):
                case(Place("staging", tmp_path))

    def test_no_stack_is_skipped_with_what_to_do(self, staging, tmp_path):
        needs_engine()
        Environment.objects.filter(pk=staging.pk).update(project="cases-that-nobody-made")
        with pytest.raises(Skip, match="cases-that-nobody-made was not started here: make staging"):
            basic.services_run(Place("staging", tmp_path))

    def test_no_engine_is_skipped_with_what_to_do(self, staging, tmp_path, monkeypatch):
        Environment.objects.filter(pk=staging.pk).update(engine_url="unix:///nowhere/docker.sock")
        with pytest.raises(Skip, match=r"No Docker Engine answers.*Start Docker"):
            basic.services_run(Place("staging", tmp_path))

    def test_another_database_is_skipped_in_words(self, whole, staging, tmp_path):
        if connection.vendor == "postgresql":
            pytest.skip("this suite runs on PostgreSQL")
        Environment.objects.filter(pk=staging.pk).update(project=whole.project)
        with pytest.raises(Skip, match="run the cases in the stack's controller"):
            integration.database_is_postgres(Place("staging", tmp_path))


@pytest.mark.django_db
class TestRecovery:
    def test_armed(self, settings):
        settings.RECOVERY = True
        Worker.objects.create(name="r@x", host="x", pid=1, queues=["recovery"], started_at=moment(), seen_at=moment())
        assert integration.recovery_is_armed() == "r@x"

    def test_active_and_nobody_there(self, settings):
        settings.RECOVERY = True
        with pytest.raises(AssertionError, match="nothing would be recovered"):
            integration.recovery_is_armed()

    def test_not_active(self, settings):
        settings.RECOVERY = False
        with pytest.raises(Skip):
            integration.recovery_is_armed()
