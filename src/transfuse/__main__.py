"""`python -m transfuse` is the command `transfuse`."""

import sys

from transfuse.cli import main

if __name__ == "__main__":
    sys.exit(main())
