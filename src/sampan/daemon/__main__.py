"""`python -m sampan.daemon`, and what sampand executes itself as: `site` and what it loads would be in every shim."""

import sys

if not __package__:
    # Run by its path: the directory that holds the package is three levels up.
    sys.path.insert(0, __file__.rsplit("/", 3)[0])

from sampan.daemon.main import main

main()
