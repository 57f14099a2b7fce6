"""Backups that are proven: what is taken, where it is kept, how it is shown to restore.

Modules here also run inside of the job container, where only the standard library, psycopg and boto3 are installed:
they import nothing that needs typer, pydantic, jinja2 or yaml.
"""
