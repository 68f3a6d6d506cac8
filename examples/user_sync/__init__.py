"""A table of users in the application's own database, kept in step with Hexclave's.

For foreign keys, joins and reports. `steps.py` is what counts, and knows no database; `fastapi_app.py` has the table in
SQLAlchemy, `django_project` as a model of Django. The rules:

* An event says only *that* a user changed. Deliveries come out of order and more than once, and carry no version: what
  they hold may be older than what is stored. So the user is read from Hexclave, while their row is locked. Of two
  deliveries at one moment the later one to get the lock also reads later. The lock lasts as long as Hexclave's answer.
* A deletion is final. The row stays, without personal data, so that foreign keys go on pointing somewhere and a late
  `user.updated` does not bring anybody back.
* Some deliveries never arrive. `reconcile` compares the table with Hexclave's list and reads again, under the lock,
  whoever differs: run it once a night, and first of all to fill the table.
"""
