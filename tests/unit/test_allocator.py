"""Freed memory stays at hand for the next large body."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

ROUNDS = 50
BODY_BYTES = 2_400_000
FAULTS_IF_GIVEN_BACK = ROUNDS * BODY_BYTES // 4096
CODE = f"""
import resource
from foretell.cli.serving.allocator import keep_freed
keep_freed()
def use():
    kept = [bytearray({BODY_BYTES}) for _ in range(3)]
use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range({ROUNDS}):
    use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(environment: dict[str, str]) -> int:
    done = subprocess.run([sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc gives pages back that soon")
def test_a_body_like_the_last_one_takes_no_new_pages() -> None:
    assert faults({}) < FAULTS_IF_GIVEN_BACK / 20


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc reads these variables")
def test_what_the_environment_says_of_memory_stands() -> None:
    assert faults({"MALLOC_MMAP_THRESHOLD_": "65536"}) > FAULTS_IF_GIVEN_BACK
