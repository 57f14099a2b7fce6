"""`python -m moorage`."""

from moorage.cli.app import main

main()
