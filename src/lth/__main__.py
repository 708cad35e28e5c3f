"""`python -m lth` is `lth`."""

from lth.cli.app import main

main()
