"""Uploads whose answer was lost: files at the provider that carry the job's name, and whose id its status never learned.

An upload is repeated without ado, since a file costs next to nothing and a batch is made of one only. So the files of the
lost tries are left, and they count against the provider's quota of files; they are found here by the name that
naming.upload_filename gave them, when the job ends or is deleted.
"""

from datetime import datetime

from llmbatch.core import naming
from llmbatch.core.submission import horizon
from llmbatch.edges.gateway import Gateway
from llmbatch.edges.outcome import Answered, Failure, NotFound, Refused

MOST_PAGES = 50


async def delete_strays(gateway: Gateway, uid: str, known: tuple[str, ...], since: datetime) -> Failure | None:
    """Delete the files named after a job that are not among those it knows; answers what was in the way.

    Args:
        gateway: Where the files are.
        uid: The job's.
        known: Ids of the job's status: whether they are deleted is decided elsewhere.
        since: When the job began; its files are no older.
    """
    after: str | None = None
    for _ in range(MOST_PAGES):
        answer = await gateway.list_files(after)
        if isinstance(answer, NotFound) or (isinstance(answer, Refused) and answer.status in (400, 404, 405, 501)):
            # This gateway lists no files, so that nobody can tell.
            return None
        if not isinstance(answer, Answered):
            return answer
        page = answer.value
        for file in page.files:
            if naming.is_upload_of(uid, file.filename) and file.id not in known:
                deleted = await gateway.delete_file(file.id)
                if not isinstance(deleted, Answered | NotFound):
                    return deleted
        moments = [file.created_at for file in page.files if file.created_at is not None]
        is_past = moments != [] and max(moments) < horizon(since)
        if not page.has_more or is_past or page.last_id in (None, after):
            return None
        after = page.last_id
    return None
