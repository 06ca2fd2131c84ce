"""`python -m sampan.ocirun`, and what sampan-runc executes itself as: without `site`, which it does not need."""

import sys

if not __package__:
    # Run by its path: the directory that holds the package is three levels up.
    sys.path.insert(0, __file__.rsplit("/", 3)[0])

from sampan.ocirun.main import main

main()
