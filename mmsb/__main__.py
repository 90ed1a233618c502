"""``python -m mmsb``: the command."""

from mmsb.interfaces.cli import main

main()
