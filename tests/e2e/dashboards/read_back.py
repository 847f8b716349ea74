"""Reads dashboards by Grafana's types, writes them again, and says what is not there any more."""

import json
import sys

from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

# The types leave these open: an annotation's belong to its data source, a variable's definition is what older versions showed.
OPEN = {"/annotations/list/" + field for field in ("builtIn", "step", "tagKeys", "titleFormat", "textFormat")}
OPEN.add("/templating/list/definition")


def lost(before, after, path=""):
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in before.items():
            here = f"{path}/{key}"
            if key in after:
                yield from lost(value, after[key], here)
            elif here not in OPEN:
                yield f"{here}: {value!r}"
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for one, other in zip(before, after):
            yield from lost(one, other, path)
    elif before != after:
        yield f"{path}: {before!r} became {after!r}"


plugins.register_default_plugins()
wrong = []
for path in sys.argv[1:]:
    with open(path, encoding="utf-8") as file:
        before = json.load(file)
    after = json.loads(json.dumps(Dashboard.from_json(before), cls=JSONEncoder))
    wrong += [f"{path}: {what}" for what in lost(before, after)]
print("\n".join(wrong) or f"{len(sys.argv) - 1} read")
sys.exit(bool(wrong))
