"""The picture of a drive: the track to scale coloured by speed, speed and altitude along it, the laps. PNG or SVG.

`drive` reads canonical files, `figure` draws; neither knows where the files came from, nor the API.
"""
