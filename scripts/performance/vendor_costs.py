#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""What the work costs the chip with the vendor's PKCS#11 module: what scripts/bench.py counts, as far as that module can do it.

    vendor_costs.py MODULE TOKEN-LABEL KEY-LABEL SOCKET RESULTS

Writes the rows and the bytes of the module to the JSON file RESULTS. What fails has no figures, and the reason instead.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
import bench  # noqa: E402

REQUEST = "openssl req -new through pkcs11-provider"


def main():
    bench.counted()
    bench.the_c_interface()
    bench.list_all()
    bench.row("p11tool --list-all, one key pair", 0, 0)
    failures = {}
    try:
        bench.certificate_request()
        bench.row(REQUEST, 0, 0)
    except subprocess.CalledProcessError as error:
        failures[REQUEST] = error.stderr.decode(errors="replace").strip().splitlines()[:1]
    figures = {"rows": bench.results, "failures": failures, "bytes": os.stat(bench.MODULE).st_size}
    Path(bench.RESULTS).write_text(json.dumps(figures), encoding="utf-8")


if __name__ == "__main__":
    main()
