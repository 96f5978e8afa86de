"""A real single-node Kafka for tests: in a container where Docker answers, else from Maven's jars.

The jars are fetched once into ~/.cache/anchorwatch/kafka; a broker then starts within a few seconds on free
loopback ports and can be stopped, killed and started again on the same data.
"""

from __future__ import annotations

import base64
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn, Protocol

import pytest

__all__ = ["KAFKA_VERSION", "ContainerBroker", "KafkaBroker", "ProcessBroker", "fetch_libraries", "kafka_broker"]

KAFKA_VERSION = "4.1.1"
_START_S = 90.0

_POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
<modelVersion>4.0.0</modelVersion>
<groupId>anchorwatch.tests</groupId><artifactId>broker</artifactId><version>1</version>
<dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{version}</version></dependency>
<dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-core</artifactId><version>2.25.1</version></dependency>
<dependency>
<groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>2.25.1</version>
</dependency>
</dependencies></project>
"""

_LOG4J = """status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d %p %c{1}: %m%n
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
"""

_SERVER = """process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://{address}:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=500
log.retention.check.interval.ms=500
log.segment.delete.delay.ms=100
broker.session.timeout.ms=1500
broker.heartbeat.interval.ms=300
num.network.threads=1
num.io.threads=2
background.threads=2
num.recovery.threads.per.data.dir=1
log.cleaner.enable=false
"""


class KafkaBroker(Protocol):
    """One broker that tests may stop, kill and start again on the same data."""

    @property
    def bootstrap(self) -> str:
        """The address that clients are given."""
        ...

    def start(self) -> None:
        """Start on the same data and wait until clients are answered."""
        ...

    def stop(self) -> None:
        """Shut down in good order."""
        ...

    def kill(self) -> None:
        """End at once, as in a crash."""
        ...

    def close(self) -> None:
        """Stop, and remove what it left."""
        ...


class ProcessBroker:
    """A Kafka process on this machine.

    Parameters
    ----------
    folder : where its data, configuration and output lie
    libraries : the folder with the jars
    """

    def __init__(self, folder: Path, libraries: Path) -> None:
        self._folder, self._libraries = folder, libraries
        self._process: subprocess.Popen[bytes] | None = None
        self._port, controller = _free_ports(2)
        self._properties = folder / "server.properties"
        self._properties.write_text(
            _SERVER.format(address="127.0.0.1", port=self._port, controller=controller, data=folder / "data")
        )
        (folder / "log4j2.properties").write_text(_LOG4J)
        command = self._java("kafka.tools.StorageTool", "format", "-t", _cluster_id(), "-c", str(self._properties))
        formatted = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=120)
        if formatted.returncode:
            raise RuntimeError(f"Kafka's storage could not be formatted:\n{formatted.stdout.decode()[-2000:]}")

    @property
    def bootstrap(self) -> str:
        """The address that clients are given."""
        return f"127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start on the same data and wait until clients are answered."""
        with (self._folder / "output.txt").open("ab") as output:
            command = self._java("kafka.Kafka", str(self._properties))
            self._process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        process = self._process
        try:
            _await_broker(self.bootstrap, lambda: process.poll() is None)
        except RuntimeError as error:
            self.kill()
            output_text = (self._folder / "output.txt").read_text(errors="replace")
            raise RuntimeError(f"{error}:\n{output_text[-3000:]}") from error

    def stop(self) -> None:
        """Shut down in good order."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End at once, as in a crash."""
        self._end(signal.SIGKILL)

    def close(self) -> None:
        """Kill it and remove its folder."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _java(self, *arguments: str) -> list[str]:
        memory = ["-Xms64m", "-Xmx320m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        logs = f"-Dlog4j2.configurationFile={self._folder / 'log4j2.properties'}"
        return ["java", *memory, logs, "-cp", f"{self._libraries}/*", *arguments]


class ContainerBroker:
    """The same configuration in a container, by testcontainers."""

    def __init__(self, folder: Path) -> None:
        from testcontainers.core.container import DockerContainer

        self._port, controller = _free_ports(2)
        (folder / "server.properties").write_text(
            _SERVER.format(address="0.0.0.0", port=self._port, controller=controller, data="/tmp/data")  # noqa: S104 in a container
        )
        script = (
            f"/opt/kafka/bin/kafka-storage.sh format --ignore-formatted -t {_cluster_id()} -c /test/server.properties"
            " && exec /opt/kafka/bin/kafka-server-start.sh /test/server.properties"
        )
        container = DockerContainer(f"apache/kafka:{KAFKA_VERSION}").with_bind_ports(self._port, self._port)
        container = container.with_volume_mapping(str(folder), "/test", "ro")
        self._container = container.with_kwargs(entrypoint=["bash", "-c", script])
        self._folder, self._created = folder, False

    @property
    def bootstrap(self) -> str:
        """The address that clients are given."""
        return f"127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start on the same data and wait until clients are answered."""
        if self._created:
            self._container.get_wrapped_container().start()
        else:
            self._container.start()
            self._created = True
        _await_broker(self.bootstrap, lambda: True)

    def stop(self) -> None:
        """Shut down in good order."""
        self._container.get_wrapped_container().stop(timeout=30)

    def kill(self) -> None:
        """End at once, as in a crash."""
        self._container.get_wrapped_container().kill()

    def close(self) -> None:
        """Remove the container and its folder."""
        self._container.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


@contextmanager
def kafka_broker() -> Iterator[KafkaBroker]:
    """Yield a running broker; skip with the reason in plain words where neither Docker nor Maven can give one.

    With ANCHORWATCH_NO_SKIP=1 the test fails instead.
    """
    broker = _in_a_container() if _docker_answers() else None
    if broker is None:
        libraries = fetch_libraries()
        broker = ProcessBroker(Path(tempfile.mkdtemp(prefix="anchorwatch-kafka-")), libraries)
    try:
        broker.start()
        yield broker
    finally:
        broker.close()


def fetch_libraries() -> Path:
    """Return the folder with Kafka's jars; Maven fetches them the first time."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "anchorwatch" / "kafka"
    libraries = cache / KAFKA_VERSION
    for program in ("java", "mvn"):
        if shutil.which(program) is None and (program == "java" or not libraries.exists()):
            _unavailable(f"no Docker engine answers and {program!r} is not installed")
    if libraries.exists():
        return libraries
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        work = Path(folder)
        (work / "pom.xml").write_text(_POM.format(version=KAFKA_VERSION))
        command = ["mvn", "-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime"]
        command.append(f"-DoutputDirectory={work / 'libs'}")
        fetched = subprocess.run(command, cwd=work, capture_output=True, check=False, timeout=900)
        if fetched.returncode:
            _unavailable(f"Maven could not fetch Kafka {KAFKA_VERSION}: {fetched.stdout.decode()[-500:]}")
        try:
            (work / "libs").rename(libraries)
        except OSError:
            # Another test process was faster; its jars are the same.
            if not libraries.exists():
                raise
    return libraries


def _in_a_container() -> KafkaBroker | None:
    """Return a container that has started once, or None where its image cannot be had."""
    folder = Path(tempfile.mkdtemp(prefix="anchorwatch-kafka-"))
    broker = ContainerBroker(folder)
    try:
        broker.start()
        broker.stop()
    except Exception:  # noqa: BLE001 whatever Docker lacks, the jars are the other way
        shutil.rmtree(folder, ignore_errors=True)
        return None
    return broker


def _docker_answers() -> bool:
    if not os.environ.get("DOCKER_HOST") and not Path("/var/run/docker.sock").exists():
        return False
    return subprocess.run(["docker", "version"], capture_output=True, check=False, timeout=30).returncode == 0


def _await_broker(bootstrap: str, is_alive: Callable[[], bool]) -> None:
    """Wait until a client that asks for the cluster's brokers gets an answer."""
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and is_alive():
        if _answers(bootstrap):
            return
        time.sleep(0.1)
    raise RuntimeError(f"Kafka did not answer at {bootstrap} within {_START_S:.0f} s, or has ended")


def _answers(bootstrap: str) -> bool:
    host, port = bootstrap.split(":")
    # ApiVersions request, version 0: length, key 18, version 0, correlation 1, no client name.
    request = struct.pack(">ihhih", 10, 18, 0, 1, -1)
    try:
        with socket.create_connection((host, int(port)), timeout=1.0) as connection:
            connection.settimeout(2.0)
            connection.sendall(request)
            return len(connection.recv(4)) == 4
    except OSError:
        return False


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(opened.getsockname()[1]) for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports


def _cluster_id() -> str:
    # Kafka's tools take an id that begins with "-" for an option.
    return "a" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")[1:]


def _unavailable(reason: str) -> NoReturn:
    if os.environ.get("ANCHORWATCH_NO_SKIP") == "1":
        pytest.fail(f"the Kafka tests cannot run: {reason}")
    pytest.skip(f"the Kafka tests cannot run: {reason}")
