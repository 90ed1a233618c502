"""``python -m mmsb.interfaces.cli``."""

from mmsb.interfaces.cli import main

main()
