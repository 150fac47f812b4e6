"""Outside data into the database."""

from workflows.catalogue.imports.importing import Imported, import_source

__all__ = ["Imported", "import_source"]
