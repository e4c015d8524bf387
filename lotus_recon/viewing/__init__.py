"""A scene in a web page: its mesh, clouds, cameras and maps, in one file without requests, or from a local server."""
