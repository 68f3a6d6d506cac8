"""The table as a model of Django: a project with one application, which is this package."""
