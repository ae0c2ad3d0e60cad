"""Compares the stored outputs under other thread counts and instruction sets: `make portable`.

Rounding differs with the order of additions, which depends on threads and on the width of a
processor's vectors. An output that survives all of these is one another machine will reproduce.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Settings a processor or a library does not know are ignored by it.
SETTINGS: dict[str, dict[str, str]] = {
    "one thread": {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    "two threads": {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"},
    "torch without AVX": {"ATEN_CPU_CAPABILITY": "default"},
    "oneDNN with SSE4.1": {"ONEDNN_MAX_CPU_ISA": "SSE41"},
    "MKL, compatible": {"MKL_CBWR": "COMPATIBLE"},
    "OpenBLAS with SSE": {"OPENBLAS_CORETYPE": "Nehalem"},
    "all reduced, one thread": {
        "OMP_NUM_THREADS": "1",
        "ATEN_CPU_CAPABILITY": "default",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "MKL_CBWR": "COMPATIBLE",
        "OPENBLAS_CORETYPE": "Nehalem",
    },
}


def main() -> int:
    """Runs nbval once for each setting; returns 1 if any of them found a difference."""
    command = [sys.executable, "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider"]
    command += ["--nbval", "--nbval-current-env", "--nbval-cell-timeout=1200", "chapters"]
    failed = 0
    for name, setting in SETTINGS.items():
        start = time.perf_counter()
        run = subprocess.run(
            command, cwd=ROOT, env={**os.environ, **setting}, capture_output=True, text=True
        )
        seconds = time.perf_counter() - start
        last = run.stdout.strip().splitlines()[-1:] or [run.stderr.strip()[-200:]]
        print(f"{name:24} {seconds:6.1f} s  {last[0]}", flush=True)
        if run.returncode:
            failed += 1
            print(run.stdout)
    print(f"{len(SETTINGS) - failed} of {len(SETTINGS)} settings reproduce the stored outputs")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
