"""Exit status 0: this interpreter has what a build of the package wants: virtual environments with pip, headers."""

import os
import sys
import sysconfig

try:
    import ensurepip  # noqa: F401
    import venv  # noqa: F401
except ImportError:
    sys.exit(1)
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))
