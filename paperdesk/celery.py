"""The Celery app: two queues (`monitor`, `warehouse`), no results. Its settings are the CELERY_* ones."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "paperdesk.settings")

app = Celery("paperdesk", amqp="paperdesk.broker:PromptAmqp")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
