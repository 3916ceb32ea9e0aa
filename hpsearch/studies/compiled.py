"""Definitions as stored, compiled once per process."""

from collections import OrderedDict
from threading import Lock
from typing import Any

from hpsearch.catalog import installed_catalog
from hpsearch.spec.definition import Definition, parse_definition
from hpsearch.spec.sections import DatasetInfo
from hpsearch.storage.studies import StudyRecord

_MAX_CACHED = 256
_cache: OrderedDict[str, tuple[dict[str, Any], Definition]] = OrderedDict()
_lock = Lock()


def parsed_again(study: StudyRecord, document: object) -> Definition:
    """Return a definition as if the study had it.

    Raises:
        InvalidDefinition: It is wrong, or names a plugin that is not installed here.
    """
    catalog = installed_catalog()
    if study.dataset is not None:  # an upload, as it was and is: it stays while a study needs it
        catalog = catalog.with_datasets([DatasetInfo.model_validate(study.dataset)])
    return parse_definition(document, catalog)


def compiled(study: StudyRecord) -> Definition:
    """Return the study's definition, ready to sample from and to resolve.

    Cached by uuid, since SQLite reuses the ids of deleted studies.

    Raises:
        InvalidDefinition: A plugin the definition names is not installed in this process.
    """
    with _lock:
        document, definition = _cache.get(study.uuid, (None, None))
        if definition is not None and document == study.definition:
            _cache.move_to_end(study.uuid)
            return definition
    definition = parsed_again(study, study.definition)
    with _lock:
        _cache[study.uuid] = (study.definition, definition)
        while len(_cache) > _MAX_CACHED:
            _cache.popitem(last=False)
    return definition
