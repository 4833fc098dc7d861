"""Its place puts ``tests`` on the path, so that every suite can import the table: ``from cases import ALL``."""
