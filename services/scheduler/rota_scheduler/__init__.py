"""The scheduler: timers, schedules and runs.

Who is authoritative: PostgreSQL, alone. There is no leader, and what a replica knows by heart may be forgotten: it
sleeps until the next due time that the database told it, is woken early when one of its own transactions commits a
nearer one, and looks again once a second for what other replicas have committed (`ticker`).

Three things are due at a time, and each is taken from the database by one transaction that locks rows nobody else
holds (`FOR UPDATE SKIP LOCKED`), moves them to their next state and writes what follows from it:

- A timer (`timers`): armed -> fired. The transaction clears `fire_at`, remembers it as `fired_for` and appends
  `reminder.fired`. A newer event of the task arms it again, unless it asks for the very time that fired last.
- A schedule (`schedules`): its cursor `next_fire_at` moves from one nominal time to the next. The transaction
  compares and swaps the cursor and accounts for each nominal time that it passes: by a run, unique by (schedule,
  nominal time), or by a row that says why there is none (`ledger`).
- A run (`runs`): pending -> running -> succeeded | failed | cancelled, or back to pending after a failure that may
  pass. One that must not overlap another is buffered before it is pending. A claim gives it a fence, a number that
  grows with each claim, and a lease of 10 s, renewed while the run is executed.

And something may happen: an event sets off rules (`rules`), and the transaction that takes note of the event queues a
run of each of their actions.

The races:

- Two replicas find the same row due: one locks it, the other skips it, and finds it moved on afterwards.
- A replica dies before its commit: nothing happened, the row is still due. After its commit: events are in the log,
  runs in their table.
- A replica dies, or sleeps beyond its lease, while it executes a run: another claims the run with the next fence.
  Whatever the first one still reports carries the old fence and is refused. The action may then have been taken twice;
  each attempt carries the run's id as idempotency key, so that its effect need not be.
- A schedule fires while one of its runs ends: both lock the schedule's row first. So either the new run sees that the
  other has ended, or it is buffered before the other ends, which then releases it. A run always ends, because its lease
  does and its attempts are counted; no crash leaves a schedule waiting for ever.
- A run that must be alone starts while the others are claimed, renewed or ending: the others are cancelled in the
  transaction that adds it, under the lock of the schedule's row; a claim just before that is fenced off, and one after
  it finds nothing. Their holders stop at their next renewal.
- A schedule is changed while it is due: the change settles first what has come, as the schedule was until then.
- Events of a task arrive twice or in the wrong order: a timer keeps the version of the task it knows, also after the
  task is gone, and ignores older ones.

The clocks of replicas may differ by a few seconds: one that is ahead fires that much early. If they differ by more
than what is left of a lease between renewals (7 s), one replica can take another's lease for over: as if it had died.
"""
