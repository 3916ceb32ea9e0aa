"""The app: every route, behind the same four layers."""

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import SecretStr
from starlette.exceptions import HTTPException

from hpsearch.api.auth import Gate, TokenBook
from hpsearch.api.dashboard import DASHBOARD_PREFIXES, Dashboard
from hpsearch.api.envelope import Envelope
from hpsearch.api.errors import problem
from hpsearch.api.janitor import JanitorThread
from hpsearch.api.lifespan import N_THREADS, lifespan_of
from hpsearch.api.limits import BodyLimit
from hpsearch.api.methods import allowed_methods
from hpsearch.api.openapi import VERSION, describe
from hpsearch.api.pages import (
    assets,
    dataset_pages,
    docs,
    figures,
    login,
    new_study,
    studies_page,
    study_pages,
    trial_pages,
    worker_pages,
)
from hpsearch.api.pages.failure import failure_page, wants_page
from hpsearch.api.routes import (
    datasets,
    epochs,
    events,
    exports,
    health,
    metrics,
    plots,
    schema,
    studies,
    trials,
    workers,
)
from hpsearch.api.services import Services
from hpsearch.api.webhook import WebhookThread
from hpsearch.queue.doorbell import Doorbell
from hpsearch.settings import Settings
from hpsearch.storage.database import Database
from hpsearch.studies.tokens import admin_token


def create_app(
    settings: Settings, database: Database | None = None, doorbell: Doorbell | None = None
) -> FastAPI:
    """Return the app that serves the API and the pages.

    Nothing is connected to before the first request; the janitor runs while the app's lifespan
    does.

    Args:
        settings: How this process runs.
        database: Replaces the configured one.
        doorbell: Replaces the configured one.
    """
    database = database or Database(settings.resolved_database_url, pool_size=N_THREADS)
    doorbell = doorbell or Doorbell(settings.resolved_redis_url)
    services = Services(
        database=database,
        doorbell=doorbell,
        tokens=TokenBook(admin_token(settings), database),
        janitor=JanitorThread(
            database,
            doorbell,
            lease_s=settings.lease_s,
            artifacts_dir=settings.resolved_artifacts_dir,
        ),
        webhook=WebhookThread(database, _secret(settings.webhook_url)),
        dashboard=Dashboard(database),
        artifacts_dir=settings.resolved_artifacts_dir,
        max_dataset_bytes=settings.max_dataset_mb * 1024**2,
    )
    app = FastAPI(
        title="hpsearch",
        version=VERSION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan_of(services),
        exception_handlers={HTTPException: _refuse, RequestValidationError: _refuse},
    )
    app.state.services = services
    for noun in (studies, trials, epochs, events, plots, exports, datasets):
        app.include_router(noun.router)
    for noun in (schema, workers, health, metrics):
        app.include_router(noun.router)
    for noun in (studies_page, study_pages, trial_pages, new_study, dataset_pages, worker_pages):
        app.include_router(noun.router)
    for noun in (login, docs, figures, assets):
        app.include_router(noun.router)
    for prefix in DASHBOARD_PREFIXES:
        app.mount(prefix, services.dashboard)
    describe(app)
    # the last one added is the outermost
    app.add_middleware(Gate, book=services.tokens)
    app.add_middleware(
        BodyLimit,
        max_bytes=settings.max_definition_kb * 1024,
        max_upload_bytes=services.max_dataset_bytes,
    )
    app.add_middleware(Envelope, requests=services.requests)
    return app


def _secret(value: SecretStr | None) -> str | None:
    return None if value is None else value.get_secret_value()


async def _refuse(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException) and error.status_code == 405:
        allowed = allowed_methods(request.app, request.scope)
        if allowed:
            error = HTTPException(405, headers={"Allow": ", ".join(allowed)})
    response = problem(error, request.scope)
    return failure_page(request, response) if wants_page(request) else response
