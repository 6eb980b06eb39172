"""`telemetry`: the command line of the service, local or deployed. It calls the API by way of the client, nothing else.

Results go to standard output, progress and explanations to standard error. Tokens, signed addresses and positions are
never printed.
"""
