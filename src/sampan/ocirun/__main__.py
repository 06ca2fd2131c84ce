"""`python -m sampan.ocirun`: the same as sampan-runc."""

from .main import main

main()
