"""The report of a run: report.json, images, renders of the mesh and one HTML page."""
