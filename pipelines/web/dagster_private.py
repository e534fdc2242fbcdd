"""Private parts of Dagster that its web server is built from. No other module imports them.

They are apart from ``pipelines.dagster_private``, because only this program needs GraphQL.
"""

from dagster._cli.workspace.cli_target import workspace_opts_to_load_target
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceLoadTarget
from dagster_shared.cli import WorkspaceOpts, workspace_options
from dagster_webserver.app import create_app_from_workspace_process_context
from dagster_webserver.version import __version__

__all__ = [
    "WorkspaceLoadTarget",
    "WorkspaceOpts",
    "WorkspaceProcessContext",
    "__version__",
    "create_app_from_workspace_process_context",
    "workspace_options",
    "workspace_opts_to_load_target",
]
