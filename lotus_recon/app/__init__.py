"""The app in the browser: photos are dropped in, run as the command lines would, and shown to this machine alone."""
