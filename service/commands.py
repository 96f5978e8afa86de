"""What each command of the command line does; parsing lies in `service.cli`."""

from __future__ import annotations

import argparse
import itertools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from tqdm import tqdm

from service.config import Config, load
from service.config_errors import ConfigurationError
from service.readers import TableOptions, default_monitor, read_events

__all__ = ["run_command"]

_DEFAULT_CONFIG = Path("anchorwatch.toml")
_INFERRED_FROM_N = 1_000


def run_command(options: argparse.Namespace) -> int:
    """Run the parsed command; returns the exit code."""
    commands: dict[str, Callable[[argparse.Namespace], int]] = {
        "init": _init,
        "serve": _serve,
        "replay": _replay,
        "demo": _demo,
        "check": _check,
        "models": _models,
        "audit": _audit,
    }
    return commands[options.command](options)


def _configuration(path: Path | None) -> Config:
    if path is None and _DEFAULT_CONFIG.exists():
        path = _DEFAULT_CONFIG
    return load(path)


def _table_options(options: argparse.Namespace, path: Path) -> TableOptions:
    return TableOptions(
        monitor=options.monitor or default_monitor(path),
        label=options.label,
        time=options.time,
        prediction=options.prediction,
        id=options.id,
        label_delay=options.label_delay,
    )


def _init(options: argparse.Namespace) -> int:
    from service.infer import infer_file, to_toml

    if options.output is not None and options.output.exists() and not options.force:
        raise ConfigurationError(f"{options.output} exists; name another file or add --force")
    found = infer_file(
        options.sample,
        options=_table_options(options, options.sample),
        reference=options.reference,
        sample_n=options.sample_n,
    )
    text = to_toml(found)
    if options.output is None:
        sys.stdout.write(text)
    else:
        options.output.write_text(text, "utf-8")
        next_step = f"anchorwatch replay {options.sample} --config {options.output}"
        sys.stderr.write(f"wrote {options.output}; next: {next_step}\n")
    for monitor, marks in found.marked.items():
        for feature, reason in marks.items():
            sys.stderr.write(f"{monitor}.{feature}: not watched: {reason}\n")
    return 0


def _serve(options: argparse.Namespace) -> int:
    from service.serve import prepare_environment, run_service

    config = _configuration(options.config)
    if not config.monitors:
        raise ConfigurationError(
            "no monitor is configured: `anchorwatch init SAMPLE -o anchorwatch.toml` writes one from a sample, "
            "`anchorwatch demo` shows one at work"
        )
    data_dir = options.data_dir or Path("anchorwatch-data")
    prepare_environment(data_dir)
    return run_service(config, data_dir, options.host or config.http.host, options.port or config.http.port)


def _replay(options: argparse.Namespace) -> int:
    from service.replay import replay, write_results

    config, guessed = _replay_configuration(options)
    _warm(config)
    sizes = sum(path.stat().st_size for path in options.files if path.is_file())
    with tqdm(total=sizes, unit="B", unit_scale=True, file=sys.stderr, disable=None, desc="replay") as bar:
        events = itertools.chain.from_iterable(
            read_events(path, options=guessed or _table_options(options, path), progress=_advance(bar))
            for path in options.files
        )
        replayed = replay(events, config)
    if options.out is not None:
        write_results(replayed, options.out)
    sys.stdout.buffer.write(msgspec.json.encode(replayed.summary) + b"\n")
    return 0


def _warm(config: Config) -> None:
    from service.warm import slowly, warm

    def say(step: str) -> None:
        sys.stderr.write(step + "\n")

    warm(config, slowly(say))


def _advance(bar: Any) -> Callable[[int, int], None]:
    before = bar.n

    def advance(done: int, _total: int) -> None:
        bar.update(before + done - bar.n)

    return advance


def _replay_configuration(options: argparse.Namespace) -> tuple[Config, TableOptions | None]:
    """The configuration to replay with; inferred from exactly the first 1,000 events if none is named."""
    from service.infer import guess_options, infer_file
    from service.tables import format_of

    first = options.files[0]
    guessed = None
    if format_of(first) != "ndjson":
        guessed = guess_options(first, _table_options(options, first))
    if options.config is not None:
        return load(options.config), guessed
    return infer_file(first, options=guessed, sample_n=_INFERRED_FROM_N).config, guessed


def _demo(options: argparse.Namespace) -> int:
    from service import demo
    from service.serve import prepare_environment

    if options.to_kafka is not None:
        return demo.send_to_kafka(options.to_kafka, options.topic, options.events, options.speed)
    data_dir = options.data_dir or Path(os.environ.get("ANCHORWATCH_DEMO_DIR", "anchorwatch-data/demo"))
    prepare_environment(data_dir)
    if options.once:
        _warm(demo.demo_config())
        card = demo.scorecard(options.events)
        sys.stdout.buffer.write(msgspec.json.encode(card) + b"\n")
        return 0
    return demo.serve_demo(
        data_dir, options.host or "127.0.0.1", options.port or 8000, speed=options.speed, limit=options.events
    )


def _check(options: argparse.Namespace) -> int:
    from service.check import check

    lines = check(_configuration(options.config), options.data_dir)
    for line in lines:
        sys.stdout.write(f"{'ok  ' if line.ok else 'FAIL'} {line.part}: {line.detail}\n")
    return 0 if all(line.ok for line in lines) else 1


def _models(options: argparse.Namespace) -> int:
    from service.registry_commands import run_models

    return run_models(options)


def _audit(options: argparse.Namespace) -> int:
    from service.registry_commands import run_audit

    return run_audit(options)
