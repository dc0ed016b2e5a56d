"""Runs a script that prints one JSON line, and adds the largest resident set of the process to it.

    python peak_memory.py SCRIPT [ARGUMENTS]
"""

import contextlib
import io
import json
import os
import resource
import runpy
import sys

BYTES_PER_UNIT = 1 if sys.platform == "darwin" else 1024

script = sys.argv[1]
sys.argv = sys.argv[1:]
sys.path.insert(0, os.path.dirname(os.path.abspath(script)))
printed = io.StringIO()
with contextlib.redirect_stdout(printed):
    runpy.run_path(script, run_name="__main__")
result = json.loads(printed.getvalue().strip().split("\n")[-1])
result["max_rss_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * BYTES_PER_UNIT
print(json.dumps(result))
