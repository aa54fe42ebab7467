"""The C sources also compile with clang: clang.py BUILD [--tidy], a build tree with a compile_commands.json.

Two at a time, each with its own flags, and without generating code. Generated sources are left out. With --tidy it is
clang-tidy-14 that looks at them, which takes half a minute, and is no part of the tests. Exit status: 1 if it has
anything to say.
"""

import json
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


GCC_ALONE = ("-mmemset-strategy=",)  # options that clang refuses


def compiled(entry):
    """What clang says of a source."""
    command = [word for word in shlex.split(entry["command"]) if not word.startswith(GCC_ALONE)]
    output = command.index("-o")
    return run(["clang-14", "-fsyntax-only", *command[1:output], *command[output + 2 :]], entry)


def tidied(entry):
    """What clang-tidy says of it."""
    build = Path(entry["directory"])
    return run(["clang-tidy-14", "--quiet", "-p", build, entry["file"]], entry)


def run(command, entry):
    done = subprocess.run(command, cwd=entry["directory"], capture_output=True, text=True)
    if done.returncode:
        return f"{entry['file']}:\n{done.stdout}{done.stderr}"
    return done.stdout


def main():
    build, *tidy = sys.argv[1:]
    build = Path(build).resolve()
    entries = json.loads((build / "compile_commands.json").read_text(encoding="utf-8"))
    entries = [entry for entry in entries if build not in Path(entry["file"]).parents]
    if not entries:
        sys.exit(f"{build}/compile_commands.json: no source of ours")
    with ThreadPoolExecutor(2) as pool:
        said = {text for text in pool.map(tidied if tidy == ["--tidy"] else compiled, entries) if text}
    print(*sorted(said) or [f"clang is content with {len(entries)} sources"], sep="\n")
    sys.exit(1 if said else 0)


if __name__ == "__main__":
    main()
