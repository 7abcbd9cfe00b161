"""A back end of a third party: it knows the JSON model and nothing of hyplink.

Reads one model from standard input, answers with one file: a line for each procedure.
"""

from __future__ import annotations

import json
import sys

model = json.load(sys.stdin)
if model["vidl_model"] < 2:
    sys.exit("this back end reads models from version 2 on")
lines = [
    f"{interface['group']}.{proc['ordinal']} {proc['kind']} {interface['name']}.{proc['name']} "
    f"{proc['request']['max']} {proc['reply']['max']}"
    for interface in model["interfaces"]
    for proc in interface["procedures"]
]
json.dump({"files": {f"lists/{model['stem']}.txt": "\n".join(lines) + "\n"}}, sys.stdout)
