"""What the routes work with, made once per process."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request

from hpsearch.api.auth import Identity, TokenBook
from hpsearch.api.dashboard import Dashboard
from hpsearch.api.exposition import Requests
from hpsearch.api.janitor import JanitorThread
from hpsearch.api.streams import Streams
from hpsearch.api.texts import Texts
from hpsearch.api.webhook import WebhookThread
from hpsearch.queue.doorbell import Doorbell
from hpsearch.spec.catalog import Catalog
from hpsearch.storage.database import Database
from hpsearch.studies.datasets import known_catalog


@dataclass(frozen=True, slots=True)
class Services:
    """Everything a request may need beside itself.

    Attributes:
        database: The truth.
        doorbell: Where workers are called.
        tokens: Tells whose token it is.
        janitor: Runs in the background; a nudge makes it look at once.
        webhook: Tells of studies that have ended.
        dashboard: Optuna Dashboard on the database.
        artifacts_dir: Where checkpoints, models and uploaded arrays are kept.
        max_dataset_bytes: Most that an upload may take, as sent and as arrays.
        streams: Who listens to events.
        texts: Answers that are written already.
        requests: How many were answered.
    """

    database: Database
    doorbell: Doorbell
    tokens: TokenBook
    janitor: JanitorThread
    webhook: WebhookThread
    dashboard: Dashboard
    artifacts_dir: Path
    max_dataset_bytes: int
    streams: Streams = field(default_factory=Streams)
    texts: Texts = field(default_factory=Texts)
    requests: Requests = field(default_factory=Requests)

    @property
    def catalog(self) -> Catalog:
        """What a definition may name at this moment: plugins and uploaded data sets."""
        return known_catalog(self.database)

    def close(self) -> None:
        """Stop what runs in the background and close every connection."""
        self.webhook.stop()
        self.janitor.stop()
        self.dashboard.close()
        self.database.dispose()
        self.doorbell.close()


async def get_services(request: Request) -> Services:
    """Return the services of the app that handles this request."""
    services: Services = request.app.state.services
    return services


async def get_identity(request: Request) -> Identity:
    """Return who sends this request; the gate has checked it."""
    identity: Identity = request.state.identity
    return identity


ServicesOf = Annotated[Services, Depends(get_services)]
IdentityOf = Annotated[Identity, Depends(get_identity)]
