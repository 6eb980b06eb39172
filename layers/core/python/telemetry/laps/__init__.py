"""Laps: those that a file brings, else those found on its track. Pure; Arrow in, laps out; no AWS, no database."""
