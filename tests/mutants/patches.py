"""Bugs in the code and the template: small patches, each with the tests that must notice it.

A safeguard that has no entry here is none: nobody would see it go.
"""

# ruff: noqa: E501 - texts are quoted as they stand
from __future__ import annotations

from dataclasses import dataclass

FUNCTIONS, JOB, TEMPLATE = "tests/unit/functions", "tests/unit/job", "tests/template/test_first_deploy.py"


@dataclass(frozen=True)
class Patch:
    """One bug.

    Attributes
    ----------
    name
        What is wrong.
    file
        Below the repository's root.
    old, new
        A text that is there once, and what stands there instead.
    tests
        Files and folders of which at least one test must fail.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


def _in(file: str, *tests: str) -> _Maker:
    return _Maker(file, tests)


@dataclass(frozen=True)
class _Maker:
    file: str
    tests: tuple[str, ...]

    def __call__(self, name: str, old: str, new: str, *more: str) -> Patch:
        return Patch(f"{self.file.rpartition('/')[2]}: {name}", self.file, old, new, (*self.tests, *more))


ledger = _in("functions/fanout/ledger.py", f"{FUNCTIONS}/test_ledger.py")
claims = _in("functions/fanout/claims.py", f"{FUNCTIONS}/test_claims.py")
manifests = _in("functions/fanout/manifests.py", f"{FUNCTIONS}/test_manifests.py")
endings = _in("functions/fanout/endings.py", f"{FUNCTIONS}/test_endings.py")
recovery = _in("functions/fanout/recovery.py", f"{FUNCTIONS}/test_recovery.py")
dispatcher = _in("functions/fanout/dispatcher.py", f"{FUNCTIONS}/test_dispatcher.py")
pending = _in("functions/fanout/pending.py", f"{FUNCTIONS}/test_pending.py")
production = _in("functions/fanout/production.py", f"{FUNCTIONS}/test_production.py")
stream_records = _in("functions/fanout/stream_records.py", f"{FUNCTIONS}/test_production.py")
stored_pending = _in("functions/fanout/adapters.py", "tests/integration/functions/test_pending_objects_store.py")
schedule = _in("functions/fanout/schedule.py", f"{FUNCTIONS}/test_schedule.py")
starts = _in("functions/fanout/starts.py", f"{FUNCTIONS}/test_starts.py")
guard = _in("cli/console/guard.py", "tests/unit/cli/test_console.py")
console = _in("cli/console/app.py", "tests/unit/cli/test_console.py")
client = _in("functions/fanout/config_client.py", f"{FUNCTIONS}/test_config_client.py")
sender = _in("glue/fanout_job/sender.py", f"{JOB}/test_send.py")
formats = _in("glue/fanout_job/formats.py", f"{JOB}/test_lines.py")
messages = _in("glue/fanout_job/messages.py", f"{JOB}/test_messages.py")
clients = _in("glue/fanout_job/clients.py", f"{JOB}/test_clients.py")
logs = _in("glue/fanout_job/logs.py", f"{JOB}/test_logs.py")
columns = _in("glue/fanout_job/columns.py", f"{JOB}/test_columns.py")
csv_source = _in("glue/fanout_job/csv_source.py", f"{JOB}/test_csv.py")
csv_quotes = _in("glue/fanout_job/csv_quotes.py", f"{JOB}/test_csv.py", f"{JOB}/test_standard_faults.py")
texts = _in("glue/fanout_job/texts.py", f"{JOB}/test_csv.py", f"{JOB}/test_standard_faults.py")
json_text = _in("glue/fanout_job/json_text.py", f"{JOB}/test_json.py")
json_records = _in("glue/fanout_job/json_records.py", f"{JOB}/test_json.py")
mapping_text = _in("glue/fanout_job/mapping_text.py", f"{JOB}/test_mapping.py")
xml_source = _in("glue/fanout_job/xml_source.py", f"{JOB}/test_xml.py")
mapping = _in("glue/fanout_job/mapping.py", f"{JOB}/test_mapping.py")
standard = _in("glue/fanout_job/standard.py", f"{JOB}/test_standard_files.py")
standardizer = _in("glue/fanout_job/standardizer.py", f"{JOB}/test_mapping.py")
model = _in("glue/fanout_job/model.py", f"{JOB}/test_mapping.py")
template = _in("template.yaml", TEMPLATE)
SENDING = "tests/integration/job/test_sending.py::"

PATCHES = (
    # ---- the producer
    production("a batch begins again within an object", "if begin is not None and first < begin <= last:", "if False:"),
    production("a smaller batch leaves no signpost", "if not left and last + 1 < len(lying):", "if False:"),
    production("a foreign object counts as ours", "if left[0].id not in ids:", "if False:"),
    production("an old record keeps its old hour", "abs(now - first.time) <= MAX_RECORD_AGE", "True"),
    production("an object tells when it was packed", "compresslevel=6, mtime=0", "compresslevel=6"),
    stream_records("any event id will do", 'or not _is_text(change.get("eventID"))', "or False"),
    production(
        "keys change before Lambda gives up",
        "KEY_TIME_SLACK - timedelta(hours=2)",
        "KEY_TIME_SLACK - timedelta(hours=4)",
    ),
    stream_records("any name is a provider's", "return check_name(value)", "return value"),
    stream_records("the old image comes first", '("Keys", "NewImage", "OldImage")', '("OldImage", "NewImage", "Keys")'),
    # ---- the ledger's rules
    ledger("a claim is not remembered", '"last_claim": lease.turn, ', ""),
    ledger("an old tick moves last_success back", "max(lease.turn, state.last_success or lease.turn)", "lease.turn"),
    ledger(
        "another lease of the same run commits",
        "held.run_dir == lease.run_dir\n    return same",
        "True\n    return same",
    ),
    ledger("a void plan commits", "and state.bookmark.generation == planned.generation", ""),
    ledger("a lease never expires", "return now < lease.expires_at", "return True"),
    ledger("a live lease is taken over", "            raise PartitionBusyError(held)", "            pass"),
    ledger("a planned run is planned again", "    if held.plan is not None:\n        return state\n", ""),
    ledger("a lost lease gets a plan", "if held is None or held.run_dir != lease.run_dir:", "if held is None:"),
    ledger(
        "a repeated commit counts again",
        "        if is_committed(state, lease.run_id):\n            return state\n",
        "",
    ),
    ledger("a failure moves nothing", "    failures = state.failures + 1\n", "    failures = state.failures\n"),
    ledger(
        "any run holds the lease",
        "state.lease if state.lease is not None and state.lease.run_id == run_id else None",
        "state.lease",
        f"{FUNCTIONS}/test_endings.py",
    ),
    ledger(
        "a newer report is forgotten",
        "if state.pending_report == report else state",
        "if state.pending_report else state",
    ),
    # ---- the claim
    claims("the window loses its oldest second", "o.last_modified >= since)", "o.last_modified > since)"),
    claims(
        "workers without a cap",
        "min(max(math.ceil(size / BYTES_PER_WORKER), MIN_WORKERS), s.max_workers)",
        "max(math.ceil(size / BYTES_PER_WORKER), MIN_WORKERS)",
    ),
    claims("bytes that were taken once are known for ever", "taken.etag != stored.etag", "False"),
    claims(
        "bytes that come back after a failed run are known",
        "stored.last_modified == taken.last_modified or untracked_at is None or untracked_at < taken.last_modified",
        "True",
    ),
    ledger("a replay leaves no doubt", ', "untracked_at": record.ended_at})', "})"),
    # ---- manifests
    manifests("the backlog ignores the cut by bytes", "backlog=count - len(taken)", "backlog=count - len(oldest)"),
    manifests("the watermark's own second is old", "stored.last_modified >= since)", "stored.last_modified > since)"),
    manifests("what was sent is new", " and not seen(stored)", ""),
    manifests("no bound in bytes", "if taken and total > max_bytes:", "if False:"),
    manifests("a replay in part", "    if selection.backlog:\n", "    if False:\n"),
    # ---- endings
    endings(
        "a success without a result", 'if plan.engine == "none":', 'if plan.engine == "none" or plan.objects is None:'
    ),
    endings(
        "an unbounded error", "else explain(ending.result))[:MAX_ERROR_CHARACTERS]", "else explain(ending.result))"
    ),
    endings(
        "a fault after the commit escapes",
        '        except FanoutError as error:\n            self.log(f"{state.provider}: after',
        '        except ValueError as error:\n            self.log(f"{state.provider}: after',
    ),
    endings(
        "a freed lease is reported at once",
        "self._finish(state, tell)",
        "self._finish(state)",
        f"{FUNCTIONS}/test_recovery.py",
    ),
    endings(
        "fewer objects than planned",
        "result.objects != len(manifest.objects)",
        "result.objects > len(manifest.objects)",
    ),
    endings("a result of another run", "result.run_id != run_id or ", ""),
    # ---- recovery
    ledger(
        "an entry is told of a run under way",
        "if state.lease is not None or state.pending_report is not None or state.last_report is None:",
        "if state.pending_report is not None or state.last_report is None:",
    ),
    recovery("a redriven execution is dead", '("RUNNING", "PENDING_REDRIVE")', '("RUNNING",)'),
    recovery("all missing executions are asked for", "missing[:CHECKED_AT_ONCE]", "missing"),
    recovery("a dead run's report delays the starts", ", tell=False)", ")"),
    recovery(
        "reports go on after three failures",
        "failures < GIVE_UP_AFTER and remaining_seconds() >= LAST_REPORT_SECONDS:\n                    size = PARALLEL if pushed else GIVE_UP_AFTER - failures",
        "remaining_seconds() >= LAST_REPORT_SECONDS:\n                    size = PARALLEL",
    ),
    recovery("reports ignore the deadline", " and remaining_seconds() >= LAST_REPORT_SECONDS", ""),
    recovery("reports always in one order", "order.sample(owed, len(owed))", "owed"),
    dispatcher(
        "a failure that was told late stays",
        "return candidates, running + [name for name in failed if name in states and states[name].last_reported_success]",
        "return candidates, running",
        f"{FUNCTIONS}/test_recovery.py",
    ),
    dispatcher(
        "every failure is told again at each tick",
        " and states[name].last_reported_success]",
        "]",
        f"{FUNCTIONS}/test_recovery.py",
    ),
    dispatcher(
        "statuses that others keep are put right",
        'ours = self.settings.report_status == "yes"',
        "ours = True",
        f"{FUNCTIONS}/test_recovery.py",
    ),
    recovery("a young lease is doubted", " and now - lease.claimed_at > SETTLING", ""),
    # ---- pending objects
    pending("another bucket's objects count", "if name != bucket or not", "if not"),
    pending("hidden objects count", "elif not is_data(path):", "elif False:"),
    pending("keys are read as they are written", 'unquote_plus(stored["key"], errors="strict")', 'stored["key"]'),
    pending("a mark that failed is forgotten", "                again |= batch.messages\n", "                pass\n"),
    pending("all messages of a batch come again", "again |= batch.messages", "again |= set(messages)"),
    pending(
        "one bad event stops its batch",
        '            yield "not an event of S3"\n            continue',
        "            raise",
    ),
    Patch(
        "object_events.py: no message comes again",
        "functions/object_events.py",
        "for message in sorted(again)]",
        "for message in ()]",
        (f"{FUNCTIONS}/test_batches.py",),
    ),
    Patch(
        "producer.py: no batch comes again",
        "functions/producer.py",
        "[] if done.failed is None else",
        "[] if True else",
        (f"{FUNCTIONS}/test_batches.py",),
    ),
    stored_pending(
        "pending that came since is cleared",
        'condition="pending_count = :pending_count"',
        'condition="pending_count >= :pending_count"',
    ),
    stored_pending("cleared pending stays in the index", " REMOVE #since, attention", " REMOVE #since"),
    stored_pending("pending has the age of its last event", "if_not_exists(#since, :now)", ":now"),
    stored_pending("pending that came since keeps the old age", "#bytes = :none, #since = :claimed", "#bytes = :none"),
    claims(
        "the count is read after the listing",
        "            pending_count=pending_count,\n            replay",
        "            pending_count=pending_count and self.pending.of(state.provider).pending_count,\n            replay",
        f"{FUNCTIONS}/test_pending.py",
    ),
    claims(
        "a replay clears the pending count",
        'self.settings.discovery == "events" and not request.replay else',
        'self.settings.discovery == "events" else',
        f"{FUNCTIONS}/test_pending.py",
    ),
    endings(
        "a failure clears the pending count",
        'run.status == "succeeded" and run.pending_count',
        "run.pending_count",
        f"{FUNCTIONS}/test_pending.py",
    ),
    endings("a backlog is forgotten", " and not run.backlog:", ":", f"{FUNCTIONS}/test_pending.py"),
    schedule(
        "an idle provider is started",
        "        return Verdict.IDLE\n",
        "        pass\n",
        f"{FUNCTIONS}/test_pending.py",
    ),
    schedule("a backlog is idle", " or provider in self.has_backlog", "", f"{FUNCTIONS}/test_pending.py"),
    schedule(
        "no sweep",
        "return sweep_time(provider, tick, self.sweep)",
        "return tick - timedelta(days=9999)",
        f"{FUNCTIONS}/test_pending.py",
    ),
    schedule("pending does not make it heavy", "return waiting_bytes > lambda_max_bytes", "pass"),
    # ---- the dispatcher
    dispatcher(
        "places are not counted after a start",
        "places.take(name, execution, self.clock(), heavy=candidate.heavy, group=candidate.group)",
        "pass",
    ),
    # ---- who is due, and names
    schedule(
        "a hash of the slug",
        "hashlib.sha256(provider.encode())",
        "hashlib.sha256(re.sub(r'[^0-9A-Za-z_-]', '_', provider)[:50].encode())",
    ),
    schedule("names too long", "{1,60}", "{1,80}"),
    schedule(
        "a claim is no turn",
        "(entry.last_success, state.last_success, state.last_claim)",
        "(entry.last_success, state.last_success)",
    ),
    schedule(
        "no cap for a group",
        "if full or (places if candidate.heavy else function_slots) <= 0:",
        "if (places if candidate.heavy else function_slots) <= 0:",
    ),
    schedule("no cap for all", "if full or (places if candidate.heavy else function_slots) <= 0:", "if full:"),
    schedule("light runs wait for a place", "(places if candidate.heavy else function_slots) <= 0", "places <= 0"),
    schedule("light runs take no function slot", "function_slots -= not candidate.heavy", "function_slots -= 0"),
    schedule("heavy runs take a function slot", "sum(not occupant.heavy for", "sum(True for"),
    schedule("no place is given back", "not occupant.listed and now - occupant.since <= occupant.listed_after", "True"),
    schedule("a place stays taken after its run was listed", "not occupant.listed and now", "now"),
    # ---- starts
    starts("hopeless despite a success", " and not self.new and not self.before", ""),
    starts("throttling changes no rate", "                self._bucket.throttled()\n", ""),
    # ---- the config API's client
    client("the key goes anywhere", "        if not trusted:\n", "        if False:\n"),
    # ---- the job
    sender("eleven in a batch", "if len(batch) == 10 or (", "if len(batch) == 11 or ("),
    sender(
        "of two messages with one id one is lost",
        "        batch.append(message)\n        size += message.size\n    if batch:",
        "        if message.id not in {m.id for m in batch}:\n            batch.append(message)\n            size += message.size\n    if batch:",
    ),
    sender("what was passed over comes last", "waiting.extendleft(reversed(passed))", "waiting.extend(passed)"),
    sender(
        "sends ignore the deadline",
        "            if left <= 0:\n                raise DeadlineError\n",
        "",
        f"{SENDING}test_no_request_starts_after_the_deadline",
    ),
    sender(
        "a refusal is tried again",
        "if status < 500 and status not in (408, 429) and not is_passing(reason):",
        "if False:",
        f"{SENDING}test_data_18_giving_up_is_bounded_and_typed",
    ),
    formats(
        "only the first member is read",
        "        if member.eof:\n            data = data.lstrip",
        "        if member.eof:\n            return\n            data = data.lstrip",
    ),
    formats(
        "a line at the limit is too long",
        "first if len(first) <= limit else None",
        "first if len(first) < limit else None",
    ),
    formats("a last line at the limit is too long", "len(rest) > limit:", "len(rest) >= limit:"),
    messages(
        "characters instead of bytes",
        "if len(body) > self.limit:\n            del",
        "if len(body.decode()) > self.limit:\n            del",
    ),
    messages("characters that SQS refuses", 'if b"\\xef\\xbf" in body:', "if False:"),
    clients(
        "one try for credentials",
        '"AWS_METADATA_SERVICE_NUM_ATTEMPTS": "5"',
        '"AWS_METADATA_SERVICE_NUM_ATTEMPTS": "1"',
    ),
    Patch(
        "errors.py: missing credentials are final",
        "glue/fanout_job/errors.py",
        "class CredentialsError(TransientError)",
        "class CredentialsError(JobError)",
        (f"{JOB}/test_clients.py",),
    ),
    # ---- the standard model
    columns("a day that does not exist", "pc.if_else(same, quick, None)", "pc.if_else(True, quick, None)"),
    columns("hexadecimal integers", 'for sign in "xX"', 'for sign in "#"'),
    columns("groups of two digits at the end", "{sign}\\d{{3}}|", "{sign}\\d{{2,3}}|"),
    columns("texts that mean nothing", "if found.null_count != text.null_count:", "if False:"),
    columns("the other half of a bad column", "bad_left + bad_right", "bad_left"),
    columns("texts of a sliced column", "pa.nulls(len(text), pa.string())", "None"),
    columns("a time zone", 'if rule.timezone not in (None, "UTC"):', "if False:"),
    csv_quotes(
        "quotes that are never closed", "if not dialect.last.fullmatch(", "if False and dialect.last.fullmatch("
    ),
    csv_source("numbers of rows after a bad one", "self.next = row.number + 1", "self.next = row.number"),
    texts(
        "bytes that an encoding does not know",
        "codec.incrementaldecoder(errors)",
        'codec.incrementaldecoder("replace")',
    ),
    csv_source("a column twice", "if names.count(name) > 1:", "if False:"),
    json_records("digits of numbers", '"parse_float": str, ', ""),
    json_records("NaN", ', "parse_constant": no_number', ""),
    json_text("a number at the end of a piece", "if self.ended or not self._may_go_on(end):", "if True:"),
    json_text("what comes after the end", "    if text.next_sign():\n        raise", "    if False:\n        raise"),
    xml_source("entities", "self.parser.EntityDeclHandler = self._refuse", "pass"),
    xml_source("entities of a document type", "self.parser.SkippedEntityHandler = self._refuse", "pass"),
    xml_source("deep nesting", "if self.depth > MAX_DEPTH:", "if False:"),
    xml_source("an element twice", "if self.texts[place] is not None:", "if False:"),
    xml_source("a document that is cut off", "self._parse(piece, not piece)", "self._parse(piece, False)"),
    mapping_text("aliases", "if isinstance(event, yaml.AliasEvent):", "if False:"),
    mapping("a name twice", "if key.value in seen:", "if False:"),
    standard("a newer source", "        if now != obj.etag:", "        if now is None:"),
    standard("a file that was written meanwhile", '{"IfMatch": before} if before else {"IfNoneMatch": "*"}', "{}"),
    standard("a first file that was written meanwhile", ' else {"IfNoneMatch": "*"}', " else {}"),
    standard("an upload whose answer was lost", "UPLOADS = 3", "UPLOADS = 1"),
    standardizer("a required field", "if field.required and made[name].null_count:", "if False:"),
    standard("a bad source replaces its file", 'or settings.on_bad_record == "fail"', ""),
    standardizer(
        "what a transform calls otherwise", "elif unknown := changed.keys() - made.keys():", "elif unknown := '':"
    ),
    model("sources that look alike share a file", "{readable}-{digest}.parquet", "{readable}.parquet"),
    logs("another name for the time", '{"timestamp": moment', '{"time": moment'),
    # ---- the template
    template(
        "a table with a fixed name",
        "    Properties:\n      BillingMode: PAY_PER_REQUEST\n      AttributeDefinitions: [{AttributeName: provider, AttributeType: S}, {",
        "    Properties:\n      TableName: fixed\n      BillingMode: PAY_PER_REQUEST\n      AttributeDefinitions: [{AttributeName: provider, AttributeType: S}, {",
    ),
    template(
        "a policy that names two queues",
        "Action: sqs:*, Resource: !GetAtt ChangesQueue.Arn,",
        "Action: sqs:*, Resource: [!GetAtt ChangesQueue.Arn, !GetAtt UndeliveredQueue.Arn],",
    ),
    template("Lambda's own log level", ", ApplicationLogLevel: !Ref LogLevel}", "}"),
    template("no worker type", "        GLUE_WORKER_TYPE: !Ref GlueWorkerType", "        WORKER: !Ref GlueWorkerType"),
    template("runs wait in Glue", "JobRunQueuingEnabled: false", "JobRunQueuingEnabled: true"),
    template("512 MB to sort in", "{Size: 10240}", "{Size: 512}"),
    template("method metrics", "MetricsEnabled: false", "MetricsEnabled: true"),
    template("a second stage", "    OpenApiVersion: 3.0.1", "    TracingEnabled: true"),
    template("a tick before the key is in the plan", '${ConfigApiUsagePlanKey}"', '${Env}"'),
    template("an alarm at creation", "TreatMissingData: missing,", "TreatMissingData: breaching,"),
    template(
        "everything in the data bucket",
        'ScriptAndLibrary, Effect: Allow, Action: s3:GetObject, Resource: !Sub "${DataBucket.Arn}/library/*"',
        'ScriptAndLibrary, Effect: Allow, Action: s3:GetObject, Resource: !Sub "${DataBucket.Arn}/*"',
    ),
    template(
        "claim checks go before their messages",
        "KeepDays: {Type: Number, Default: 90, MinValue: 29",
        "KeepDays: {Type: Number, Default: 90, MinValue: 14",
    ),
    template(
        "access logs in an account without a role",
        "!Or [!Condition Production, !Equals [!Ref ApiLogsRole, create]]",
        "!Or [!Condition BuiltInConfigApi, !Equals [!Ref ApiLogsRole, create]]",
    ),
    Patch(
        "template.yaml: the dispatcher may do anything to the ledger",
        "template.yaml",
        "Action: [dynamodb:GetItem, dynamodb:BatchGetItem, dynamodb:PutItem]",
        "Action: dynamodb:*",
        ("tests/template/test_security.py",),
    ),
    Patch(
        "template.yaml: the ledger is not kept",
        "template.yaml",
        "  RunLedger:\n    Type: AWS::DynamoDB::Table\n    DeletionPolicy: RetainExceptOnCreate\n",
        "  RunLedger:\n    Type: AWS::DynamoDB::Table\n    DeletionPolicy: Delete\n",
        ("tests/template/test_security.py",),
    ),
    Patch(
        "change_log.asl.json: one partition",
        "statemachine/change_log.asl.json",
        '"Resource": "arn:${Partition}:states:::glue',
        '"Resource": "arn:aws:states:::glue',
        (TEMPLATE,),
    ),
    guard("another host name is answered", "if host not in self._hosts:", "if not host:"),
    guard("another origin is answered", 'if origin is not None and origin != f"http://{host}":', "if origin is None:"),
    guard(
        "whoever has no key is answered",
        "if not self._has(asked.cookies.get(self._key_cookie), self._key):",
        "if not host:",
    ),
    guard("a form without its token is taken", 'if asked.method not in ("GET", "HEAD") and not', "if not host and not"),
    console(
        "a console that is read-only makes changes",
        "            if self.read_only:\n",
        "            if not order.do:\n",
    ),
)

HARMLESS = {
    "claim checks named by their content instead of their id": "only the name of an object that nobody lists changes",
    "a lease that has just expired to the microsecond": "both answers are right at that moment",
    "a repeated claim that plans anew": "the ledger keeps the run's first plan; the objects are listed once more",
    "the error of another run's result": "a run's folder is named after the run, and read only while its lease is held",
    "a lease whose settling time ends at this very microsecond": "one question to Step Functions more or less",
    "a provider that is due by the clock and not by the tick": "the verdict looks at the tick again; one read more",
    "a report that is owed while a lease is held": "the tick leaves such providers out, and the ledger's rule again",
    "the scheme left out of the comparison of addresses": "no address but https, or this machine's own, has an origin",
    "gzip whose rest is not flushed": "zlib reads the trailer after its last output, so a whole object leaves none",
}
"""Bugs that nobody could see, and why; they have no entry above."""
