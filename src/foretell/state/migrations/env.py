"""Alembic's way in: runs the steps on the connection that ``foretell.state.schema`` opened, in its transaction."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
context.run_migrations()
