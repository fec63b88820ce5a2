"""`python -m volley_convert` is `volley-convert`."""

import sys

from volley_convert.cli import main

if __name__ == "__main__":
    sys.exit(main())
