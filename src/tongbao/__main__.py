"""`python -m tongbao`: the same as the command `tongbao`."""

from tongbao.cli.entry import main

main()
