"""`python -m triaged`: the same as the `triaged` command."""

from triaged.cli import main

main()
