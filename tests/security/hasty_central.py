"""A central that loses its patience within seconds, so that a test need not wait for long."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from central.__main__ import main
from central.serving import connection_table
from central.serving.connection_table import Phase

connection_table.LONGEST = {Phase.HANDSHAKE: 2.0, Phase.HEAD: 2.0, Phase.IDLE: 3.0}
connection_table.SPAN = 2.0

if __name__ == "__main__":
    sys.exit(main())
