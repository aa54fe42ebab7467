"""What a libpq of 17 or later does otherwise than an older one."""

import pathlib

from support import with_newer_libpq

HERE = pathlib.Path(__file__).parent


def test_with_it():
    """It asks for encryption before it cancels."""
    cancellations = f"{HERE}/test_neighbours.py::test_late_and_lost_cancellations"
    with_newer_libpq([f"{cancellations}[pass]", f"{cancellations}[drop]"])


def test_how_often_it_sends():
    with_newer_libpq([f"{HERE}/test_sends.py"])
