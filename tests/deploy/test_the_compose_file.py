"""docker-compose.yml is valid, and each service follows the project's rules for health, limits and
secrets."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from cdcproject.conf.environment import SECRETS
from consumer.host import signals, supervisor
from consumer.host.runtime import GRACE_SECONDS
from tests.deploy.compose import COMPOSE, document, seconds, services
from tests.nursery import ROOT

pytestmark = pytest.mark.anywhere

PINNED = re.compile(r"[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}")


def each(condition=lambda service: True):
    found = [service for service in services().values() if condition(service)]
    return pytest.mark.parametrize("service", found, ids=lambda service: service.name)


def test_it_is_what_the_compose_specification_allows():
    checker = Path(sys.executable).with_name("check-jsonschema")
    done = subprocess.run(
        [checker, "--builtin-schema", "vendor.compose-spec", COMPOSE],
        check=False,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stdout


def test_every_service_of_the_product_is_there():
    assert {"postgres", "valkey", "migrate", "web", "listener", "worker", "beat"} == {
        name for name, service in services().items() if "profiles" not in service.text
    }
    assert services()["listener"].text["deploy"]["replicas"] == 2


@each(lambda service: not service.ends_by_itself)
def test_what_keeps_running_has_a_health_check_and_is_started_again(service):
    check = service.text["healthcheck"]

    assert service.text["restart"] == "unless-stopped"
    assert seconds(check["timeout"]) < seconds(check["interval"])


@each(lambda service: service.ends_by_itself)
def test_what_ends_by_itself_is_not_asked_like_the_web_server(service):
    """The image's own health check would call it unhealthy after a minute."""
    assert service.text["healthcheck"] == {"disable": True}


@each()
def test_nothing_runs_as_root_or_can_become_it(service):
    user, _, _ = service.text["user"].partition(":")

    assert int(user) > 0
    assert service.text["cap_drop"] == ["ALL"]
    assert service.text["security_opt"] == ["no-new-privileges:true"]
    assert service.text["read_only"] is True


@each()
def test_each_has_limits_and_time_to_stop(service):
    assert set(service.limits) == {"cpus", "memory", "pids"}
    assert float(service.limits["cpus"]) <= 2  # more than the machine has is refused
    assert seconds(service.text["stop_grace_period"]) >= 10
    assert service.text["logging"]["options"].keys() == {"max-size", "max-file"}


def test_listeners_and_workers_have_the_time_to_drain():
    grace = {name: seconds(one.text["stop_grace_period"]) for name, one in services().items()}

    steps = (
        supervisor.DRAIN_SECONDS,
        GRACE_SECONDS,
        supervisor.RELEASE_SECONDS,
        2 * supervisor.SETTLE_SECONDS,
        supervisor.JOIN_SECONDS,
    )
    assert grace["listener"] >= 15 > signals.LONGEST_SECONDS >= sum(steps)
    assert grace["worker"] >= 300  # CDC_RUN_SECONDS


@each(lambda service: not service.is_ours)
def test_images_of_others_are_pinned(service):
    assert PINNED.fullmatch(service.text["image"])


@each(lambda service: service.is_ours)
def test_no_secret_is_written_down(service):
    for name in SECRETS:
        assert name not in service.environment or name.endswith("_URL")
    for text in (*service.environment.values(), *service.command):
        assert not re.search(r"://[^/@]*:[^/@]+@", text)


@each()
def test_each_secret_file_is_asked_for_and_made(service, tmp_path):
    subprocess.run([ROOT / "bin" / "make-secrets", tmp_path / "made"], check=True)
    made = {path.name for path in (tmp_path / "made").iterdir()}
    given = set(service.text.get("secrets", []))
    read = {value for value in service.environment.values() if value.startswith("/run/secrets/")}

    assert {Path(path).name for path in read} <= given <= document()["secrets"].keys() == made


@each()
def test_what_is_waited_for_has_a_health_check_or_ends(service):
    for name, waited in service.text.get("depends_on", {}).items():
        ends = waited["condition"] == "service_completed_successfully"
        assert services()[name].ends_by_itself is ends
        assert ends or waited["condition"] == "service_healthy"


@each()
def test_what_is_mounted_is_there(service):
    for volume in service.text.get("volumes", []):
        source = volume.partition(":")[0]
        if source.startswith("./"):
            assert (ROOT / source).exists()
            assert volume.endswith(":ro")
        else:
            assert source in document()["volumes"]


@each()
def test_ports_are_published_to_this_machine_alone(service):
    for port in service.text.get("ports", []):
        assert port.startswith("127.0.0.1:")


@each(lambda service: service.name in {"postgres", "valkey"})
def test_the_stores_have_no_way_out(service):
    assert service.text["networks"] == ["data"]
    assert document()["networks"]["data"]["internal"] is True
    assert "ports" not in service.text


def test_what_compose_puts_in_is_in_the_documentation():
    manual = (ROOT / "docs" / "deploying.md").read_text()

    names = set(re.findall(r"\$\{(\w+)", COMPOSE.read_text()))

    assert {name for name in names if f"`{name}`" not in manual} == set()


def test_prometheus_asks_each_process_where_it_answers():
    asked = YAML(typ="safe", pure=True).load(ROOT / "deploy/prometheus/prometheus.yml")
    jobs = {job["job_name"]: job for job in asked["scrape_configs"] if "dns_sd_configs" in job}

    assert jobs.keys() == {"web", "listener", "worker"}
    for name, job in jobs.items():
        [where] = job["dns_sd_configs"]
        service = services()[name]
        told = [*service.command, *service.environment.values()]
        assert where["names"] == [name]
        assert any(re.search(rf"(^|:){where['port']}$", text) for text in told)


def test_secrets_that_are_there_are_kept(tmp_path):
    (tmp_path / "secret_key").write_text("mine")

    subprocess.run([ROOT / "bin" / "make-secrets", tmp_path], check=True)

    assert (tmp_path / "secret_key").read_text() == "mine"
    assert tmp_path.stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "encryption_keys").stat().st_mode & 0o777 == 0o444
