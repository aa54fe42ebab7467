"""Writes weirpool/sqlstate.def.h from PostgreSQL's errcodes.txt: sqlstate.py ERRCODES_TXT > sqlstate.def.h"""

import re
import sys

# The classes of PEP 249 for the first two characters; for others it is DatabaseError. As psycopg has them.
PARENTS = {
    "08": "OperationalError",
    "0A": "NotSupportedError",
    "10": "ProgrammingError",
    "20": "ProgrammingError",
    "21": "ProgrammingError",
    "22": "DataError",
    "23": "IntegrityError",
    "24": "InternalError",
    "25": "InternalError",
    "26": "ProgrammingError",
    "27": "OperationalError",
    "28": "ConnectError",
    "2B": "InternalError",
    "2D": "InternalError",
    "2F": "OperationalError",
    "34": "ProgrammingError",
    "38": "OperationalError",
    "39": "OperationalError",
    "3B": "OperationalError",
    "3D": "ProgrammingError",
    "3F": "ProgrammingError",
    "40": "OperationalError",
    "42": "ProgrammingError",
    "44": "ProgrammingError",
    "53": "OperationalError",
    "54": "OperationalError",
    "55": "OperationalError",
    "57": "OperationalError",
    "58": "OperationalError",
    "F0": "OperationalError",
    "HV": "OperationalError",
    "P0": "ProgrammingError",
    "XX": "InternalError",
}
# Single rows that stand elsewhere: LockTimeout and OutOfMemory are weirpool's own, so that who catches these
# has both kinds, and RAISE says nothing about whose fault it was.
ROW_PARENTS = {"53200": "OutOfMemory", "55P03": "LockTimeout", "P0001": "DatabaseError"}
# Conditions whose own name is another row's, PEP 249's or weirpool's; as psycopg names them, but for 53200.
NAMES = {
    "38002": "ModifyingSqlDataNotPermittedExt",
    "38003": "ProhibitedSqlStatementAttemptedExt",
    "38004": "ReadingSqlDataNotPermittedExt",
    "39004": "NullValueNotAllowedExt",
    "53200": "ServerOutOfMemory",
    "XX000": "InternalError_",
}
PEP249 = {
    "Warning",
    "Error",
    "InterfaceError",
    "DatabaseError",
    "DataError",
    "OperationalError",
    "IntegrityError",
    "InternalError",
    "ProgrammingError",
    "NotSupportedError",
}
# sqlstate, E for an error, macro, and the condition's name, which an alias of another row does not have.
ROW = re.compile(r"([0-9A-Z]{5})\s+E\s+ERRCODE_\w+\s+(\w+)\s*")


def read_rows(path):
    """The rows (sqlstate, name, parent) in order of sqlstate."""
    rows, used = {}, set(PEP249)
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            match = ROW.fullmatch(line)
            if not match:
                continue
            sqlstate, condition = match.groups()
            name = NAMES.get(sqlstate) or "".join(word.capitalize() for word in condition.split("_"))
            if sqlstate in rows or name in used:
                sys.exit(f"{path}: {sqlstate} {name} is there twice")
            used.add(name)
            parent = ROW_PARENTS.get(sqlstate) or PARENTS.get(sqlstate[:2], "DatabaseError")
            rows[sqlstate] = (name, parent)
    if not rows:
        sys.exit(f"{path}: no row of an error")
    return [(sqlstate, *rows[sqlstate]) for sqlstate in sorted(rows)]


def macro(name, rows):
    return " \\\n".join([f"#define {name}(X)", *(f"    X({row})" for row in rows)])


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    rows = read_rows(sys.argv[1])
    print("/* PostgreSQL's SQLSTATEs as exception classes, by core/src/base/sqlstate.py from errcodes.txt. */")
    print("/* clang-format off */")
    print("#ifndef WEIRPOOL_SQLSTATE_DEF_H\n#define WEIRPOOL_SQLSTATE_DEF_H\n")
    print("/* X(sqlstate, class, parent), sorted by sqlstate. */")
    print(macro("WEIR_SQLSTATES", (f'"{sqlstate}", {name}, {parent}' for sqlstate, name, parent in rows)))
    print("\n/* X(prefix, parent): for the SQLSTATEs without a row, by their first two characters. */")
    print(macro("WEIR_SQLSTATE_CLASSES", (f'"{prefix}", {PARENTS[prefix]}' for prefix in sorted(PARENTS))))
    print("\n#endif")


if __name__ == "__main__":
    main()
