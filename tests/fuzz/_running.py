"""Run targets under atheris, each in a process of its own and for a bounded time, and read what came of it."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ._seeds import seeds
from ._target import Target

__all__ = ["Result", "fuzz"]

ROOT: Final = Path(__file__).resolve().parents[2]
INPUT_SECONDS: Final = 10
"""After which libFuzzer gives up an input; the targets' own limit of processor time is far below."""
MEMORY_MB: Final = 1024
_MAX_WORD: Final = 64  # longest entry of a dictionary that libFuzzer takes
_GRACE: Final = 120  # seconds for the start, the seeds and the report

_STATUS = re.compile(r"^#(\d+)\s.*?cov: (\d+) ft: (\d+) corp: (\d+)", re.MULTILINE)
_EXECUTED = re.compile(r"^stat::number_of_executed_units:\s*(\d+)", re.MULTILINE)
_ERROR = re.compile(r"=== Uncaught Python exception: ===\n(?:[\w.]*\.)?(\w+)(?:: (.*))?")


@dataclass(frozen=True, slots=True)
class Result:
    """What a target's time brought.

    Attributes:
        executions: how many inputs were run.
        coverage: how many edges of the package were reached.
        features: edges, told apart by how often.
        corpus: how many inputs were kept since each reaches something of its own.
        findings: what is broken, and the input that shows it.
    """

    target: Target
    executions: int
    coverage: int
    features: int
    corpus: int
    findings: tuple[tuple[str, bytes], ...]


def fuzz(target: Target, module: str, seconds: int) -> Result:
    """Fuzz one target, from its seeds, in a temporary folder.

    Args:
        module: where the process finds it, by its name, in `TARGETS`.
        seconds: how long.
    """
    with tempfile.TemporaryDirectory(prefix=f"fuzz-{target.name}-") as name:
        folder = Path(name)
        corpus, artifacts, words = folder / "corpus", folder / "artifacts", folder / "words"
        corpus.mkdir()
        artifacts.mkdir()
        for number, seed in enumerate(seeds(target.name)):
            (corpus / f"seed-{number}").write_bytes(seed)
        words.write_text("".join(f'"{_escaped(word)}"\n' for word in target.words if len(word) <= _MAX_WORD))
        options = {
            "max_total_time": seconds,
            "max_len": target.max_len,
            "timeout": INPUT_SECONDS,
            "rss_limit_mb": MEMORY_MB,
            "dict": words,
            "artifact_prefix": f"{artifacts}/",
            "print_final_stats": 1,
        }
        arguments = [*(f"-{option}={value}" for option, value in options.items()), str(corpus)]
        output, code = _output(
            [sys.executable, "-m", f"{__package__}._child", module, target.name, *arguments], seconds
        )
        inputs = [path.read_bytes() for path in sorted(artifacts.iterdir())]
    return _read(target, output, code, inputs)


def _output(command: list[str], seconds: int) -> tuple[str, int]:
    """What a process printed, and its exit code; 1 if it had to be ended."""
    try:
        done = subprocess.run(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds + _GRACE, check=False
        )
    except subprocess.TimeoutExpired as error:
        return (error.stdout or b"").decode(errors="replace"), 1
    return done.stdout.decode(errors="replace"), done.returncode


def _read(target: Target, output: str, code: int, inputs: list[bytes]) -> Result:
    statuses = _STATUS.findall(output)
    executed = _EXECUTED.search(output)
    count, coverage, features, corpus = map(int, statuses[-1] if statuses else (0, 0, 0, 0))
    law = _law(output)
    findings = tuple((law, data) for data in inputs)
    if code and not findings:
        # Not even an input: atheris or the target itself does not work, and nothing was shown.
        sys.stderr.write(f"{target.name}: the fuzzer ended with {code}:\n{output[-4000:]}\n")
        findings = (("the fuzzer itself failed", b""),)
    return Result(target, int(executed[1]) if executed else count, coverage, features, corpus, findings)


def _law(output: str) -> str:
    """Which law is broken; of an error that is not ours only the class, since its text may quote the input."""
    error = _ERROR.search(output)
    if error is None:
        return "too slow, too large, or a crash of the interpreter"
    return str(error[2]) if error[1] == "Finding" else f"{error[1]} escapes"


def _escaped(word: bytes) -> str:
    """A word as libFuzzer's dictionaries spell it."""
    return "".join(chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\x{byte:02x}" for byte in word)
