"""The `backtest` command: options to sessions, sessions to files."""

import argparse
import contextlib
import json
import signal
import sys
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from collection_health.backtest import page, report, session
from collection_health.backtest.engine import EngineError
from collection_health.backtest.history import InputError
from collection_health.backtest.ruleset import RuleError
from collection_health.inventory import InventoryError
from collection_health.inventory_schema import parse_duration


def run(args: argparse.Namespace) -> int:
    """Run one back-test, or two to compare."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the engine ends with us
    try:
        with _rules(args.rules) as rules:
            results = [session.run(_options(args, rules), _say)]
            if args.compare is not None:
                _say(f"and now {args.compare}")
                results.append(session.run(_options(args, args.compare), _say))
        _write(args.output, results, [args.rules, args.compare])
    except (InputError, InventoryError, RuleError, EngineError) as error:
        print(f"backtest: {error}", file=sys.stderr)
        return 2
    for line in report.tables(results[0]):
        print(line)
    if len(results) > 1:
        print()
        for line in report.comparison(results[0], results[1]):
            print(line)
    _say(report.took(results[0]))
    print(f"\n{args.output / 'report.html'}")
    return 0


def _options(args: argparse.Namespace, rules: Path) -> session.Options:
    return session.Options(
        history=args.history,
        rules=[rules],
        config=args.config_file,
        incidents=args.incidents,
        step=_step(args.step),
        score_from=_moment(args.score_from),
        engine=args.engine,
        binary=args.prometheus,
    )


@contextlib.contextmanager
def _rules(given: Path | None) -> Iterator[Path]:
    """The rules named, those generated in this directory, or the pack's own, generated now."""
    generated = Path("rules/generated")
    if given is not None:
        yield given
    elif generated.is_dir():
        yield generated
    else:
        from collection_health.pack import PackError, files, mixin, plain

        with tempfile.TemporaryDirectory(prefix="collection-health-rules-") as directory:
            try:
                files.write(Path(directory), plain.render(mixin.evaluate(mixin.sources(), None)))
            except PackError as error:
                raise RuleError(f"the pack's own rules: {error}") from error
            yield Path(directory) / generated


def _write(output: Path, results: list[session.Result], names: list[Path | None]) -> None:
    try:
        output.mkdir(parents=True, exist_ok=True)
        _write_one(output, results[0])
        if len(results) > 1:
            other = output / "compare"
            other.mkdir(exist_ok=True)
            _write_one(other, results[1])
            lines = [*report.comparison(results[0], results[1])]
            (output / "compare.txt").write_text(
                "\n".join([f"first: {names[0] or 'the pack'}", f"second: {names[1]}", "", *lines])
                + "\n"
            )
    except OSError as error:
        raise InputError(f"{output}: cannot be written: {error.strerror or error}") from error


def _write_one(output: Path, result: session.Result) -> None:
    with (output / "episodes.ndjson").open("w", encoding="utf-8") as file:
        for item in result.episodes:
            file.write(json.dumps(report.episode(item), separators=(",", ":")) + "\n")
    data = json.dumps(report.as_data(result), indent=1)
    (output / "report.json").write_text(data + "\n", encoding="utf-8")
    (output / "report.html").write_text(page.render(result), encoding="utf-8")


def _step(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        seconds = float(parse_duration(int(text) if text.isdigit() else text))
    except ValueError as error:
        raise InputError(f"--step: {error}") from error
    if seconds < 1:
        raise InputError(f"--step: {text!r}; allowed: 1s and more")
    return seconds


def _moment(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"--score-from: {text!r} is not RFC 3339") from None
    if moment.tzinfo is None:
        raise InputError(f"--score-from: {text!r} has no time zone; allowed: Z or an offset")
    return moment.timestamp()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
