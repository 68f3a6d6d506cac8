"""`python -m hexclave_integrations` is the console command `hexclave`."""

import sys

from ._tools.console import main

if __name__ == "__main__":
    sys.exit(main())
