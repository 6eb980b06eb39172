"""Builds what is deployed: three layers and the functions, for either architecture, without compiler or Docker."""
