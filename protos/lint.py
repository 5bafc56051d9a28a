"""Checks the contract with buf: its style, and that nothing breaks a client of the version before.

The version before is the newest release tag, or else the main branch.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

from hatch_build import generate

ROOT = Path(__file__).parent
BUF = Path(sys.executable).parent / "buf"
DESCRIPTORS = Path("gen/rota/descriptors.binpb")


def main() -> int:
    """Run both checks; 0 when the contract is fine."""
    generate(ROOT)
    failed = _buf("lint", str(DESCRIPTORS), "--path", "rota", "--config", "buf.yaml")
    before = _revision_before()
    if before is None:
        return failed
    with TemporaryDirectory() as folder:
        archive = subprocess.run(["git", "archive", before, "."], cwd=ROOT, check=True, capture_output=True).stdout
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            files.extractall(folder, filter="data")
        if not (Path(folder) / "rota").is_dir():
            return failed
        generate(Path(folder))
        old = str(Path(folder) / DESCRIPTORS)
        return failed | _buf("breaking", str(DESCRIPTORS), "--against", old, "--path", "rota", "--config", "buf.yaml")


def _buf(*arguments: str) -> int:
    return subprocess.run([BUF, *arguments], cwd=ROOT, check=False).returncode


def _revision_before() -> str | None:
    if shutil.which("git") is None:
        return None
    for question in (
        ["describe", "--tags", "--match", "v*", "--abbrev=0"],
        ["rev-parse", "--verify", "origin/main"],
        ["rev-parse", "--verify", "main"],
    ):
        answer = subprocess.run(["git", *question], cwd=ROOT, check=False, capture_output=True, text=True)
        if answer.returncode == 0:
            return answer.stdout.strip()
    return None


if __name__ == "__main__":
    sys.exit(main())
