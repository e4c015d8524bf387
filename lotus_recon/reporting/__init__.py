"""The report of a run: report.json, pictures, renders of the mesh and one HTML page."""
