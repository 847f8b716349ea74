#!/usr/bin/env python3
"""Writes the dashboards of this folder's files; with --check, says which of them are not what would be written.

    python3 dashboards/source/build.py
"""

import json
import pathlib
import sys

sys.dont_write_bytecode = True

import outcomes
import policy
import scheduler
import workers

FOLDER = pathlib.Path(__file__).resolve().parent.parent


def main():
    check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not check:
        sys.exit(__doc__)
    made = {f"{board['uid']}.json": board for board in (scheduler.BOARD, workers.BOARD, policy.BOARD, outcomes.BOARD)}
    wrong = [f"{path.name} is made by nothing here" for path in FOLDER.glob("*.json") if path.name not in made]
    for name, board in made.items():
        path, text = FOLDER / name, json.dumps(board, indent=2, ensure_ascii=False) + "\n"
        if check:
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                wrong.append(f"{name} is not what dashboards/source makes")
        else:
            path.write_text(text, encoding="utf-8")
    if wrong:
        sys.exit("\n".join(wrong) + "\nrun: python3 dashboards/source/build.py")


if __name__ == "__main__":
    main()
