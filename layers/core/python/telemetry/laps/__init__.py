"""Laps: those that a file brings, measured on its track. Pure; Arrow arrays in, laps out; no AWS, no database."""
