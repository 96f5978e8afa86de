"""The compose file and the Dockerfile hold together: no engine is needed to see that."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

__all__: list[str] = []

ROOT = Path(__file__).parents[1]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")

each_service = pytest.mark.parametrize("name", sorted(SERVICES))


def test_the_whole_shape_stands() -> None:
    """Broker, service, producer, Prometheus, Alertmanager and Grafana are all there."""
    assert set(SERVICES) == {"kafka", "anchorwatch", "producer", "prometheus", "alertmanager", "grafana"}


@each_service
def test_image_is_pinned(name: str) -> None:
    """Every image names a version, never latest."""
    image, _, tag = SERVICES[name]["image"].rpartition(":")
    assert image
    assert re.fullmatch(r"v?\d+\.\d+\.\d+", tag)


@each_service
def test_container_is_hardened(name: str) -> None:
    """No root, no capabilities, no new privileges, a read-only root file system, logs that end."""
    service = SERVICES[name]
    assert service["user"].split(":")[0] not in {"0", "root"}
    assert service["cap_drop"] == ["ALL"]
    assert service["read_only"] is True
    assert "no-new-privileges:true" in service["security_opt"]
    assert "/tmp" in [mount.split(":")[0] for mount in service["tmpfs"]]
    assert service["logging"]["options"]["max-size"]


@each_service
def test_ports_are_bound_to_this_machine(name: str) -> None:
    """Nothing is published to the network by default."""
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


def test_published_ports_do_not_clash() -> None:
    """Each published port is used once."""
    published = [port.split(":")[1] for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(published) == len(set(published))


@each_service
def test_start_waits_for_health(name: str) -> None:
    """A service starts when what it needs is healthy, and what is waited for has a health check."""
    for needed, how in SERVICES[name].get("depends_on", {}).items():
        assert how == {"condition": "service_healthy"}
        assert SERVICES[needed]["healthcheck"]["test"]


@each_service
def test_every_server_has_a_health_check(name: str) -> None:
    """Only the producer, which serves nothing, has none."""
    check = SERVICES[name]["healthcheck"]
    assert check.get("disable") is True if name == "producer" else check["test"][0] in {"CMD", "CMD-SHELL"}


@each_service
def test_mounts_exist(name: str) -> None:
    """A mounted file is in the repository and read-only; a named volume is declared."""
    for mount in SERVICES[name].get("volumes", []):
        source, _, rest = mount.partition(":")
        if source.startswith("."):
            assert (ROOT / source).exists(), source
            assert rest.endswith(":ro"), mount
        else:
            assert source in COMPOSE["volumes"]


def test_volumes_are_used() -> None:
    """Every declared volume is mounted somewhere."""
    mounted = {mount.split(":")[0] for service in SERVICES.values() for mount in service.get("volumes", [])}
    assert set(COMPOSE["volumes"]) <= mounted


def test_prometheus_finds_its_targets() -> None:
    """Prometheus scrapes and alerts to names and ports that the compose file has."""
    config = yaml.safe_load((ROOT / "grafana/prometheus/prometheus.yml").read_text("utf-8"))
    scraped = [t for job in config["scrape_configs"] for s in job["static_configs"] for t in s["targets"]]
    alerted = [t for a in config["alerting"]["alertmanagers"] for s in a["static_configs"] for t in s["targets"]]
    for target in (*scraped, *alerted):
        host, port = target.split(":")
        assert any(published.endswith(f":{port}") for published in SERVICES[host]["ports"])


def test_grafana_is_provisioned_where_it_looks() -> None:
    """The dashboards folder of the provider is where compose mounts it, and its data source is compose's Prometheus."""
    providers = yaml.safe_load((ROOT / "grafana/provisioning/dashboards/anchorwatch.yaml").read_text("utf-8"))
    sources = yaml.safe_load((ROOT / "grafana/provisioning/datasources/prometheus.yaml").read_text("utf-8"))
    mounts = dict(mount.split(":")[:2] for mount in SERVICES["grafana"]["volumes"])
    assert providers["providers"][0]["options"]["path"] == mounts["./grafana/dashboards"]
    assert sources["datasources"][0]["url"] == "http://prometheus:9090"


def test_image_runs_as_the_composed_user() -> None:
    """The Dockerfile's user is the one that compose names, and it is not root."""
    uid = SERVICES["anchorwatch"]["user"].split(":")[0]
    assert f"--uid {uid} " in DOCKERFILE
    assert re.search(r"^USER anchorwatch$", DOCKERFILE, re.MULTILINE)


def test_image_is_built_from_the_lock() -> None:
    """The image installs the runtime lock by hash, and the project without an index."""
    assert "--require-hashes" in DOCKERFILE
    assert "requirements.lock" in DOCKERFILE
    assert "--no-index --no-deps --no-build-isolation" in DOCKERFILE


def test_image_bases_are_pinned() -> None:
    """Both stages start from one exact Python."""
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert len(bases) == 2
    assert len(set(bases)) == 1
    assert re.fullmatch(r"python:3\.11\.\d+-slim-\w+", bases[0])


def test_build_context_has_what_the_image_copies() -> None:
    """The ignore file lets through the packages and the files that the build reads, and nothing else."""
    lines = (ROOT / ".dockerignore").read_text("utf-8").split()
    let_through = {line[1:] for line in lines if line.startswith("!")}
    assert lines[0] == "*"
    assert {
        "stream",
        "detectors",
        "learners",
        "service",
        "pyproject.toml",
        "requirements.lock",
        "README.md",
    } <= let_through
    assert all((ROOT / name).exists() for name in let_through)
