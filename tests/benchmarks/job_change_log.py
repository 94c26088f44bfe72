"""Makes a change log for benchmarks: DynamoDB Streams records as gzip JSON lines, and the manifest of a run."""

from __future__ import annotations

import gzip
import json
import random
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from contract.manifest import Manifest, StoredObject
from tests.benchmarks.sqs_stub import etag_of

WORDS = "alpha bravo charlie delta echo foxtrot golf hotel india juliet kilo lima mike november oscar".split()  # noqa: SIM905
PROVIDER = "bench"
VARIANTS = 2_000
STREAM_ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/items/stream/2026-01-01T00:00:00.000"


PLANNED_AT = datetime(2026, 11, 22, 7, 30, tzinfo=UTC)


def manifest_of(run_id: str, objects: list[StoredObject], provider: str = PROVIDER) -> Manifest:
    """Return the manifest of a run."""
    return Manifest(
        provider=provider, run_id=run_id, generation=1, created_at=PLANNED_AT, bucket="bench", objects=tuple(objects)
    )


def image(chance: random.Random, number: int) -> dict[str, object]:
    """Return a random DynamoDB-typed item. All types occur."""
    item: dict[str, object] = {
        "pk": {"S": f"ITEM#{number:09d}"},
        "sk": {"S": f"V#{chance.randrange(100)}"},
        "title": {"S": " ".join(chance.choices(WORDS, k=3))},
        "price": {"N": f"{chance.random() * 1000:.2f}"},
        "qty": {"N": str(chance.randrange(500))},
        "active": {"BOOL": chance.random() < 0.8},
    }
    if chance.random() < 0.3:
        item["tags"] = {"SS": sorted(set(chance.choices(WORDS, k=3)))}
    if chance.random() < 0.2:
        item["dims"] = {"M": {"w": {"N": "12"}, "h": {"N": "7.5"}, "u": {"S": "cm"}}}
    if chance.random() < 0.1:
        item["hist"] = {"L": [{"N": "3"}, {"S": chance.choice(WORDS)}, {"NULL": True}]}
    if chance.random() < 0.05:
        item["blob"] = {"B": "aGVsbG8="}
        item["exact"] = {"N": "12345678901234567890.123456789012345678"}
    return item


def write_object(path: Path, first: int, rows: int, seed: int) -> None:
    """Write `rows` records, numbered from `first`, as one object."""
    chance = random.Random(seed)
    variants = []
    for number in range(min(VARIANTS, rows)):
        new, old = image(chance, number), image(chance, number)
        name = chance.choices(["INSERT", "MODIFY", "REMOVE"], weights=[40, 45, 15])[0]
        images = {"NewImage": new} if name != "REMOVE" else {}
        images |= {"OldImage": old} if name != "INSERT" else {}
        keys = {"pk": new["pk"], "sk": new["sk"]}
        variants.append((name, json.dumps({"Keys": keys, **images}, separators=(",", ":"))[1:-1]))
    lines = []
    for number in range(first, first + rows):
        name, images_json = variants[number % len(variants)]
        moment = 1767225600 + number // 100
        lines.append(
            f'{{"eventID":"{number:032x}","eventName":"{name}","eventVersion":"1.1","eventSource":"aws:dynamodb",'
            f'"awsRegion":"us-east-1","dynamodb":{{"ApproximateCreationDateTime":{moment},{images_json},'
            f'"SequenceNumber":"{10**20 + number}","SizeBytes":300,"StreamViewType":"NEW_AND_OLD_IMAGES"}},'
            f'"eventSourceARN":"{STREAM_ARN}"}}\n'
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress("".join(lines).encode(), 5))


def make_change_log(folder: Path, name: str, rows: int, objects: int) -> str:
    """Write a bucket "bench" in `folder`, with the objects and their manifest; return the manifest's S3 URI."""
    per_object = [rows // objects + (n < rows % objects) for n in range(objects)]
    firsts = [sum(per_object[:n]) for n in range(objects)]
    keys = [f"{name}/provider={PROVIDER}/part-{n:05d}.json.gz" for n in range(objects)]
    paths = [folder / "bench" / key for key in keys]
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(write_object, paths, firsts, per_object, range(objects), chunksize=max(1, objects // 20)))
    objects_ = [
        StoredObject(key, path.stat().st_size, etag_of(path.read_bytes()), PLANNED_AT)
        for key, path in zip(keys, paths, strict=True)
    ]
    run = folder / "bench" / "runs" / f"provider={PROVIDER}" / name / "manifest.json"
    run.parent.mkdir(parents=True, exist_ok=True)
    run.write_bytes(manifest_of(name, objects_).to_json())
    return f"s3://bench/{run.relative_to(folder / 'bench')}"
