#!/usr/bin/env python3
"""Renders tests/data/templates with Python's jinja2, set up as transformers does, and writes expected.json.

    pip install jinja2 && python3 tests/peer/templates.py

cases.json holds the values; expressions.json small templates for the language itself. Where the sandbox refuses
list.append and its kin, which some published templates need, the milder sandbox is taken.
"""
import json
import pathlib
from datetime import datetime

from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedEnvironment

FOLDER = pathlib.Path(__file__).parent.parent / "data" / "templates"


class Generation(Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return nodes.Scope(body, lineno=line)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def raise_exception(message):
    raise ValueError(message)


def render(source, values):
    for kind in (ImmutableSandboxedEnvironment, SandboxedEnvironment):
        environment = kind(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
        environment.filters["tojson"] = tojson
        environment.globals["raise_exception"] = raise_exception
        now = values.get("now", 0)
        environment.globals["strftime_now"] = lambda format: datetime.fromtimestamp(now).strftime(format)
        try:
            return environment.from_string(source).render(**json.loads(json.dumps(values)))
        except SecurityError:
            continue
        except Exception as error:
            return {"error": f"{type(error).__name__}: {error}"}


def main():
    cases = json.loads((FOLDER / "cases.json").read_text())
    expected = {}
    for path in sorted(FOLDER.glob("*.jinja")):
        source = path.read_text()
        expected[path.name] = {case["name"]: render(source, case["values"]) for case in cases}
    small = json.loads((FOLDER / "expressions.json").read_text())
    expected["expressions"] = {source: render(source, small["values"]) for source in small["templates"]}
    (FOLDER / "expected.json").write_text(json.dumps(expected, ensure_ascii=False, indent=0) + "\n")
    errors = [f"{t} {c}: {v['error'][:90]}" for t, rows in expected.items() for c, v in rows.items()
              if isinstance(v, dict)]
    print(len(expected), "templates", *errors, sep="\n")


if __name__ == "__main__":
    main()
