"""One file for each library, named after its import name; what several share stands in http.py and sql.py."""
