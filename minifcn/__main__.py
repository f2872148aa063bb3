"""``python -m minifcn`` is ``minifcn``."""
import sys

from minifcn.leaving import main

if __name__ == "__main__":
    sys.exit(main())
