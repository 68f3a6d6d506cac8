"""Runs everything that a page of the documentation shows: `python -m tests.docs.page docs/start/flask.md`.

A page runs from top to bottom in one process, in an empty folder, against a sandbox; the environment has its settings:

* A block with a `:caption:` is written to the file of that name. Any other `python` is executed, all in one namespace.
* `console` runs each line after `$ ` and compares what it prints with the lines below, where `...` stands for anything.
  After a line `% exits with 1` the commands of the next block have to end so.
* `sh` runs as a whole and has to succeed.
* `env` sets the variables. `json` and `toml` have to be well-formed. `text` is prose.
* Any other language needs a line `% not run: REASON` before it.

Lines that begin with `% ` are MyST's comments, which readers do not see. Those from `% run` on are Python for the same
namespace: what has to be true of the blocks above. The names `sandbox`, `url` and `here` are given.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from hexclave_integrations.testing import Sandbox

__all__ = ["Block", "blocks"]

_OPENING = re.compile(r"^(?P<indent> *)(?P<fence>```+)(?:\{(?P<directive>[\w:-]+)\})? *(?P<language>[\w+-]*) *$")
_OPTION = re.compile(r"^ *:(?P<name>[\w-]+): *(?P<value>.*)$")
_LIMIT = 120  # seconds for each command


@dataclass
class Block:
    """One thing to run; `line` is where it stands in the page."""

    line: int
    language: str
    text: str
    options: dict[str, str] = field(default_factory=dict)
    not_run: bool = False
    exits_with: int = 0


def blocks(page: str) -> list[Block]:
    """What a page has to run, in order; directives that hold no code are not among it."""
    found: list[Block] = []
    lines = page.splitlines()
    at, excused, exits_with = 0, False, 0
    while at < len(lines):
        start, line = at, lines[at]
        opening = _OPENING.match(line)
        at += 1
        if line.startswith("% not run: "):
            excused = True
        elif line.startswith("% exits with "):
            exits_with = int(line.removeprefix("% exits with "))
        elif line.rstrip() == "% run":
            while at < len(lines) and re.match(r"%( |$)", lines[at]):
                at += 1
            found.append(Block(start + 1, "python", "\n".join(one[2:] for one in lines[start + 1 : at])))
        elif opening:
            indent, fence = opening["indent"], opening["fence"]
            while at < len(lines) and lines[at].strip() != fence:
                at += 1
            body = [one.removeprefix(indent) for one in lines[start + 1 : at]]
            at += 1
            if opening["directive"] in (None, "code-block"):
                options = {}
                while opening["directive"] and body and (option := _OPTION.match(body[0])):
                    options[option["name"]] = option["value"]
                    del body[0]
                text = "\n".join(body).strip("\n") + "\n"
                found.append(Block(start + 1, opening["language"] or "text", text, options, excused, exits_with))
            excused, exits_with = False, 0
    return found


def _run_command(command: str, block: Block) -> str:
    done = subprocess.run(
        ["bash", "-e", "-c", command],
        capture_output=True,
        text=True,
        timeout=_LIMIT,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    printed = done.stdout + done.stderr
    if done.returncode != block.exits_with:
        raise AssertionError(f"line {block.line}: `{command}` ended with {done.returncode}:\n{printed}")
    return printed


def _run_console(block: Block) -> None:
    commands = re.split(r"^\$ ", block.text, flags=re.MULTILINE)
    assert not commands[0].strip(), f"line {block.line}: a console block begins with a command after `$ `"
    for one in commands[1:]:
        lines = one.splitlines()
        command = [lines.pop(0)]
        while command[-1].endswith("\\"):
            command.append(lines.pop(0))
        expected = "\n".join(lines).strip()
        printed = _run_command("\n".join(command), block).strip()
        pattern = r"[\s\S]*?".join(re.escape(part) for part in expected.split("..."))
        if expected and not re.fullmatch(pattern, printed):
            raise AssertionError(f"line {block.line}: `{command[0]}` printed\n{printed}\ninstead of\n{expected}")


def _run_block(block: Block, names: dict[str, Any], page: Path) -> None:
    if block.not_run:
        return
    caption = block.options.get("caption")
    if caption:
        Path(caption).parent.mkdir(parents=True, exist_ok=True)
        Path(caption).write_text(block.text)
    elif block.language == "python":
        code = "\n" * (block.line + len(block.options)) + block.text  # so that tracebacks name the page's lines
        exec(compile(code, str(page), "exec"), names)
    elif block.language == "console":
        _run_console(block)
    elif block.language == "sh":
        _run_command(block.text, block)
    elif block.language == "env":
        for line in block.text.splitlines():
            name, _, value = line.removeprefix("export ").partition("=")
            os.environ[name.strip()] = value.strip().strip("\"'")
    elif block.language == "json":
        json.loads(block.text)
    elif block.language == "toml":
        tomllib.loads(block.text)
    elif block.language != "text":
        raise AssertionError(f"line {block.line}: nothing runs {block.language!r}; say why in a line `% not run: ...`")


def main(page: Path) -> None:
    """Run a page."""
    sandbox = Sandbox()
    with sandbox.serve() as url, tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        sys.path.insert(0, folder)
        os.environ |= {
            "HEXCLAVE_PROJECT_ID": sandbox.config.project_id,
            "HEXCLAVE_API_URL": url,
            "HEXCLAVE_SECRET_SERVER_KEY": str(sandbox.config.secret_server_key),
            "HEXCLAVE_WEBHOOK_SECRET": sandbox.config.webhook_secrets[0],
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
        module = sys.modules["page"] = ModuleType("page")  # some frameworks look up where a function was written
        names = vars(module)
        names.update(sandbox=sandbox, url=url, here=Path(folder))
        for block in blocks(page.read_text()):
            _run_block(block, names, page)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
