"""How many laps a session may have, and lines in each. Standard library only."""

MOST_LAPS = 5_000
"""Of a session, and of each file of it: the first in order of time. A day on a kart track of half a minute has 2880;
with `MOST_SECTOR_LINES` in each, all of them together are an answer that Lambda passes on (6 MB)."""

MOST_SECTOR_LINES = 20
"""Lines that divide a lap, whoever gives them."""

START_FINISH = "start/finish"
"""What a recording's line is called that laps begin and end at."""
