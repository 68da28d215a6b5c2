"""OCI images as files: fetched from registries, layouts and archives, every blob checked and kept by its digest."""
