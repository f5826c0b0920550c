"""Beat makes VAR_DIR if it is missing, which is so where database and broker are servers."""

from cdcproject.celery import app
from cdcproject.process.liveness_file import Scheduler


def test_the_folder_for_its_schedule_is_made(tmp_path):
    schedule = tmp_path / "var" / "celerybeat-schedule"

    Scheduler(app=app, schedule_filename=str(schedule)).close()

    assert list(schedule.parent.glob("celerybeat-schedule*"))
