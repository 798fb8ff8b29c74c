"""`python -m sojourn.cli`."""

from sojourn.cli.main import main

main()
