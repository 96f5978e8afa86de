"""The command line: `anchorwatch init | serve | replay | demo | check | models | audit`.

Standard output carries one JSON object (`replay`, `demo --once`) or what was asked for; everything else goes to
standard error. Exit codes: 0 all right, 1 something failed, 2 wrong usage or configuration, 141 nobody reads
the output.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path

__all__ = ["build_parser", "main"]

# What a shell reports of a tool that SIGPIPE ended.
_READER_GONE = 141

_EPILOG = """exit codes: 0 all right; 1 something failed; 2 wrong usage or configuration; 141 nobody reads the output.
Every key of the configuration can be overridden: ANCHORWATCH__SECTION__KEY=value."""


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="anchorwatch",
        description="Watches the predictions of a model in production and the labels that arrive later; says when, "
        "where and how data or concept drifted; keeps adaptive learners running beside the model.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"anchorwatch {metadata.version('anchorwatch')}")
    parser.add_argument("-v", "--verbose", action="store_true", help="log what is done, not only what goes wrong")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_init(commands)
    _add_serve(commands)
    _add_replay(commands)
    _add_demo(commands)
    _add_check(commands)
    _add_models(commands)
    _add_audit(commands)
    return parser


def _add_init(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    init = commands.add_parser("init", help="read a sample of events and write a commented anchorwatch.toml")
    init.add_argument("sample", type=Path, help="NDJSON in the wire format, CSV or Parquet (NDJSON and CSV also .gz)")
    init.add_argument("--reference", type=Path, help="an earlier sample: columns that never repeat are marked too")
    init.add_argument("-o", "--output", type=Path, help="where to write (default: standard output)")
    init.add_argument("--force", action="store_true", help="overwrite the output file if it exists")
    init.add_argument("--sample-n", type=int, default=5_000, metavar="N", help="events looked at (default 5000)")
    _add_columns(init)


def _add_columns(parser: argparse.ArgumentParser) -> None:
    columns = parser.add_argument_group("columns of a table (CSV, Parquet)")
    columns.add_argument("--monitor", help="name of the monitor (default: the file's name)")
    columns.add_argument("--label", metavar="COLUMN", help="the true outcome")
    columns.add_argument("--time", metavar="COLUMN", help="event time")
    columns.add_argument("--prediction", metavar="COLUMN", help="what the producer's model said")
    columns.add_argument("--id", metavar="COLUMN", help="unique ids (default: row numbers)")
    columns.add_argument("--label-delay", type=int, default=0, metavar="N", help="labels come N predictions later")


def _add_serve(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    serve = commands.add_parser("serve", help="run worker, HTTP API and web page, on Kafka or on the embedded log")
    serve.add_argument("--config", type=Path, metavar="FILE", help="configuration (default: anchorwatch.toml if there)")
    _add_address(serve)


def _add_address(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="folder for all files (default anchorwatch-data)")
    parser.add_argument("--host", help="address to listen on (default: http.host, 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on (default: http.port, 8000)")


def _add_replay(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    replay = commands.add_parser("replay", help="fold recorded events; print one JSON summary on standard output")
    replay.add_argument("files", type=Path, nargs="+", metavar="FILE", help="NDJSON in the wire format, CSV or Parquet")
    replay.add_argument("--config", type=Path, metavar="FILE", help="configuration (default: inferred from the events)")
    replay.add_argument("--out", type=Path, metavar="DIR", help="write drifts.jsonl and rejects.jsonl here")
    _add_columns(replay)


def _add_demo(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    demo = commands.add_parser("demo", help="serve a real stream with a planted drift, or print its scorecard")
    demo.add_argument("--once", action="store_true", help="fold the whole stream, print a scorecard as JSON, exit")
    demo.add_argument("--events", type=int, metavar="N", help="only the first N events of the stream")
    demo.add_argument("--speed", type=float, default=1_000.0, metavar="N", help="events a second when served")
    demo.add_argument("--to-kafka", metavar="SERVERS", help="send the stream to Kafka instead of serving it")
    demo.add_argument("--topic", default="anchorwatch.events", help="topic for --to-kafka")
    _add_address(demo)


def _add_check(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    check = commands.add_parser("check", help="check the configuration and every connection that it names")
    check.add_argument("--config", type=Path, metavar="FILE", help="configuration (default: anchorwatch.toml if there)")
    check.add_argument("--data-dir", type=Path, default=Path("anchorwatch-data"), metavar="DIR")


_MODELS_EPILOG = """actions:
  list MONITOR              versions, newest first
  show MONITOR VERSION      one version as JSON
  compare MONITOR A B       what differs in parameters, figures and data range
  promote MONITOR VERSION   make that version the champion; or --learner NAME, the learner as it is now
  roll-back MONITOR         return to the champion before the last promotion
  download MONITOR VERSION  the snapshot as a file, checked against its hash
A version is a number, or champion or challenger."""


def _add_models(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    models = commands.add_parser(
        "models",
        help="list, show, compare, promote, roll back or download model versions",
        epilog=_MODELS_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = ("list", "show", "compare", "promote", "roll-back", "download")
    models.add_argument("action", choices=actions, help="what to do, see below")
    models.add_argument("monitor", help="name of the monitor")
    models.add_argument("version", nargs="*", help="number or alias of a version")
    models.add_argument("--learner", metavar="NAME", help="promote this learner as it is now")
    models.add_argument(
        "--restore", action="store_true", help="promote: put the snapshot back even if it is the newest"
    )
    models.add_argument("-o", "--output", type=Path, metavar="FILE", help="download: where to write")
    models.add_argument("--force", action="store_true", help="download: overwrite the file if it exists")
    _add_registry_source(models)


def _add_registry_source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--url", default="http://127.0.0.1:8000", help="running service (default http://127.0.0.1:8000)"
    )
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="read a stopped service's folder instead")
    parser.add_argument("--limit", type=_limit, default=100, metavar="N", help="rows at most, 1 to 1000 (default 100)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def _limit(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 1000")
    return int(text)


def _add_audit(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    audit = commands.add_parser("audit", help="print the audit trail, and the hash of its head to note elsewhere")
    audit.add_argument(
        "--verify",
        action="store_true",
        help="check the whole trail, and the model versions against it; exit code 1 if forged or nothing is there",
    )
    _add_registry_source(audit)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code, 141 where the reader of the output went away (`| head`)."""
    try:
        try:
            return _run(arguments)
        finally:
            _flush()
    except BrokenPipeError:
        _discard_output()
        return _READER_GONE
    except OSError:  # told before, or the help of a parser that ignores it
        _discard_output()
        return 1


def _flush() -> None:
    # Without a standard output (`>&-`) there is nothing to flush.
    if sys.stdout:
        sys.stdout.flush()


def _discard_output() -> None:
    """Send what is still buffered nowhere: the interpreter's own flush at its end would complain once more."""
    with Path(os.devnull).open("wb") as nowhere, suppress(OSError):
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _run(arguments: Sequence[str] | None) -> int:
    options = build_parser().parse_args(arguments)
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO if options.verbose or options.command in ("serve", "demo") else logging.WARNING,
        format="%(asctime)s %(levelname)s %(message)s",
    )
    # Three lines a second while a broker is away; the worker's own warning says it once a try.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    from service.commands import run_command
    from service.config_errors import ConfigurationError
    from service.tables import InputError
    from stream.errors import StreamError

    try:
        code = run_command(options)
        _flush()
        return code
    except (ConfigurationError, InputError) as error:
        sys.stderr.write(f"anchorwatch: {error}\n")
        return 2
    except BrokenPipeError:
        raise  # `main` ends quietly
    except (StreamError, OSError) as error:
        sys.stderr.write(f"anchorwatch: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("anchorwatch: interrupted\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())
